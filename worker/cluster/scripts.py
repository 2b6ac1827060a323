"""What Redis does in one step each. It runs a script whole or not at all, on its own clock.

A call whose answer was lost is made again: every script may run twice.
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "workers"

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
if (tonumber(redis.call('HGET', KEYS[1], 'cuts')) or 0) ~= tonumber(ARGV[1]) then return 0 end
local time = redis.call('TIME')
redis.call('HINCRBY', KEYS[1], 'cuts', 1)
redis.call('HSET', KEYS[1], 'curve', ARGV[2], 'cut_at', time[1] * 1000000 + time[2])
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

ENQUEUE: Final = f"""
redis.pcall('XGROUP', 'CREATE', KEYS[1], '{GROUP}', '0', 'MKSTREAM')
local added = 0
for i = 2, #ARGV, 2 do
  if redis.call('SADD', KEYS[2], ARGV[i]) == 1 then
    redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'line', ARGV[i + 1])
    added = added + 1
  elseif ARGV[1] == '1' and redis.call('SREM', KEYS[4], ARGV[i]) == 1 then
    redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'line', ARGV[i + 1], 'again', '1')
    added = added + 1
  end
end
return added
"""
"""KEYS: a queue's. ARGV: 1 to add failed ids again or 0, then id and line of each."""

FETCH: Final = f"""
local me, lease, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local found, cursor = {{}}, '0-0'
repeat
  local claimed = redis.call('XAUTOCLAIM', KEYS[1], '{GROUP}', me, lease, cursor,
    'COUNT', most - #found)
  cursor = claimed[1]
  for _, entry in ipairs(claimed[2]) do
    found[#found + 1] = {{entry[1], entry[2], 1}}
  end
until cursor == '0-0' or #found >= most
if #found < most then
  local read = redis.call('XREADGROUP', 'GROUP', '{GROUP}', me, 'COUNT', most - #found,
    'STREAMS', KEYS[1], '>')
  for _, entry in ipairs(read and read[1][2] or {{}}) do
    found[#found + 1] = {{entry[1], entry[2], 0}}
  end
end
return {{redis.call('XLEN', KEYS[1]), found}}
"""
"""KEYS: a queue's. ARGV: consumer, lease in milliseconds, entries at most. Returns what is left in
the queue, and entries: id, fields, and 1 where it was delivered before."""

_IS_MINE: Final = f"""
local function is_mine(entry)
  local pending = redis.call('XPENDING', KEYS[1], '{GROUP}', entry, entry, 1)
  return pending[1] and pending[1][2] == ARGV[1]
end
"""

RENEW: Final = f"""{_IS_MINE}
local lost = {{}}
for i = 2, #ARGV do
  if is_mine(ARGV[i]) then
    redis.call('XCLAIM', KEYS[1], '{GROUP}', ARGV[1], 0, ARGV[i], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
"""
"""KEYS: a queue's. ARGV: consumer, entries. Returns those that are the consumer's no more."""

SETTLE: Final = f"""{_IS_MINE}
for i = 2, #ARGV, 3 do
  if is_mine(ARGV[i]) then
    redis.call('XADD', KEYS[3], '*', 'record', ARGV[i + 1])
    if ARGV[i + 2] ~= '' then redis.call('SADD', KEYS[4], ARGV[i + 2]) end
    redis.call('XACK', KEYS[1], '{GROUP}', ARGV[i])
    redis.call('XDEL', KEYS[1], ARGV[i])
  end
end
return 1
"""
"""KEYS: a queue's. ARGV: consumer, then entry, record and, where it failed, the session's id."""

RELEASE: Final = f"""
local pending = redis.call('XPENDING', KEYS[1], '{GROUP}', '-', '+', 100000, ARGV[1])
for _, entry in ipairs(pending) do
  redis.call('XCLAIM', KEYS[1], '{GROUP}', ARGV[1], 0, entry[1], 'IDLE', ARGV[2], 'JUSTID')
end
if #pending == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], '{GROUP}', ARGV[1]) end
return #pending
"""
"""KEYS: a queue's. ARGV: consumer, lease in milliseconds. Its entries may be taken over at once."""
