"""What Redis does to an account's budget in one step each, on its own clock.

A call whose answer was lost is made again, and a script that fails is not rolled back: each may run
twice, and writes what belongs together with one command.
"""

from __future__ import annotations

from typing import Final

# Slices of time follow each other, each with so many permits; whoever comes when a slice is used up
# gets a place in the next one, so that waiting is in turn and costs one call. The marks are moved
# with a clock that is set back, or nobody would get a permit until it has caught up.
TAKE: Final = """
local size, length, wanted, me = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kept = redis.call('HMGET', KEYS[1], 'now', 'slice', 'used', 'pause', 'prober', 'cut_at',
  'cuts', 'curve')
local back = math.max((tonumber(kept[1]) or now) - now, 0)
local slice, used = (tonumber(kept[2]) or 0) - back, tonumber(kept[3]) or 0
local pause, cut_at = (tonumber(kept[4]) or 0) - back, (tonumber(kept[6]) or 0) - back
local granted, wait = 0, 0
if pause > now and kept[5] ~= me then
  wait = pause - now
else
  if now >= slice + length then
    slice, used = now, 0
  elseif used >= size then
    slice, used = slice + length, 0
  end
  granted = math.min(wanted, size - used)
  wait = math.max(slice - now, 0)
  used = used + granted
end
redis.call('HSET', KEYS[1], 'now', now, 'slice', slice, 'used', used, 'pause', pause,
  'cut_at', cut_at)
redis.call('EXPIRE', KEYS[1], 604800)
return {granted, wait, tonumber(kept[7]) or 0, kept[8] or '', now - cut_at}
"""
"""KEYS: the account. ARGV: permits in a slice, its microseconds, permits wanted, who asks.
Returns permits (0: come again), microseconds until then, and the rate: how often it was cut, the
curve since then, its age in microseconds."""

CUT: Final = """
local cuts = tonumber(redis.call('HGET', KEYS[1], 'cuts')) or 0
if cuts ~= tonumber(ARGV[1]) then return 0 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'cuts', cuts + 1, 'curve', ARGV[2],
  'cut_at', time[1] * 1000000 + time[2])
return 1
"""
"""KEYS: the account. ARGV: the cuts that the caller knew of, its curve. The first one to see a
volley of 429 cuts the rate for all; the others adopt what it found."""

PAUSE: Final = """
local time = redis.call('TIME')
local pause = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
if pause > (tonumber(redis.call('HGET', KEYS[1], 'pause')) or 0) then
  redis.call('HSET', KEYS[1], 'pause', pause, 'prober', ARGV[2])
end
return 1
"""
"""KEYS: the account. ARGV: microseconds, and who may probe meanwhile."""

RESUME: Final = """
if redis.call('HGET', KEYS[1], 'prober') ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], 'pause', 'prober')
"""
"""KEYS: the account. ARGV: whose probe was answered."""
