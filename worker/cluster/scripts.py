"""What Redis does to an account's budget in one step each, on its own clock.

A call whose answer was lost is made again, and a script that fails is not rolled back: each may run
twice, and writes what belongs together with one command.
"""

from __future__ import annotations

from typing import Final

from worker.pacing.burst_probe import EARLY, LATE, NEXT_PROBE_AFTER, PROBE, SMALLEST_ROUND

# Permits are times, each a gap behind the one before, whoever gets them: the next one that is free
# is kept. The marks are moved with a clock that is set back, or nobody would get a permit until it
# has caught up.
TAKE: Final = (
    f"""
local early, late, probe = {EARLY}, {LATE}, {{{", ".join(map(str, PROBE))}}}
local smallest_round, next_probe_after = {SMALLEST_ROUND}, {NEXT_PROBE_AFTER}
"""
    """
local me, rate, ceiling = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local wanted, soonest, slack = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local probe_after, cuts_known = tonumber(ARGV[7]), tonumber(ARGV[8])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kept = redis.call('HMGET', KEYS[1], 'now', 'next', 'pause', 'prober', 'cut_at', 'cuts',
  'curve', 'tolerated_at', 'count', 'round')
local back = math.max((tonumber(kept[1]) or now) - now, 0)
local free, pause = (tonumber(kept[2]) or 0) - back, (tonumber(kept[3]) or 0) - back
local cut_at = (tonumber(kept[5]) or 0) - back

local members, lowest = 1, ceiling
local mine = ARGV[3] .. ' ' .. ARGV[6] .. ' '
local others = redis.call('HGETALL', KEYS[2])
for i = 1, #others, 2 do
  local its_ceiling, its_slack, ends_at = string.match(others[i + 1], '(%S+) (%S+) (%S+)')
  ends_at = tonumber(ends_at)
  if ends_at < now or ends_at > now + 600000000 then
    redis.call('HDEL', KEYS[2], others[i])
  elseif others[i] ~= me then
    members = members + 1
    lowest = math.min(lowest, tonumber(its_ceiling))
    slack = math.max(slack, tonumber(its_slack))
  end
end
local gap = (1000000 + slack) / math.min(rate, lowest)
local stays = math.min(math.max(3000000, 4 * gap * wanted * members), 500000000)
redis.call('HSET', KEYS[2], me, mine .. string.format('%.0f', now + stays))

local per_s = math.ceil(math.min(rate, lowest))
local count, round = tonumber(kept[9]) or 0, tonumber(kept[10]) or 0
local is_outdated = (tonumber(kept[6]) or 0) > cuts_known
local is_granted = not is_outdated and (pause <= now or kept[4] == me)
local has_rounds = is_granted and gap >= 10000 and per_s >= smallest_round
local is_tolerated = now - (tonumber(kept[8]) or 0) < 3600000000
local stretches, kinds = {}, ''
if has_rounds and is_tolerated then
  for i = 1, wanted do
    round = round % per_s
    stretches[i] = round == 0 and late or round >= per_s - 2 and early or 1
    kinds = kinds .. (stretches[i] == early and 'early ' or 'even ')
    round = round + 1
  end
elseif has_rounds and probe_after > 0 and count >= probe_after then
  stretches, kinds = probe, 'even probe probe probe '
  count = probe_after - next_probe_after
end
if #stretches > 0 then wanted = #stretches end

local granted, first, offsets = 0, pause, {}
if is_outdated then
  first = math.max(pause, now)
elseif is_granted then
  granted = wanted
  first = math.max(free + ((stretches[1] or 1) - 1) * gap, now + soonest)
  local last = first + (wanted - 1) * gap
  if #stretches > 0 then
    last, offsets[1] = first, 0
    for i = 2, wanted do
      last = last + stretches[i] * gap
      offsets[i] = last - first
    end
    -- No more in any second than even gaps would bring.
    if string.find(kinds, 'probe') then last = last + (probe[1] - 1) * gap end
  end
  free = last + gap
  count = count + granted
end
redis.call('HSET', KEYS[1], 'now', now, 'next', free, 'pause', pause, 'cut_at', cut_at,
  'count', count, 'round', round)
redis.call('EXPIRE', KEYS[1], 604800)
redis.call('EXPIRE', KEYS[2], 604800)
return {granted, first, gap, now, slack, members, tostring(lowest), tonumber(kept[6]) or 0,
  kept[7] or '', offsets, kinds, now - cut_at}
"""
)
"""KEYS: the account's budget, its members. ARGV: who asks, the rate it knows of and its ceiling in
requests a second, permits wanted, microseconds until it could use the first, the slack that it
needs, in millionths, after how many permits it would probe for bursts (0: not at all), and of how
many cuts of the rate it knows: where there were more it learns of them before it gets a permit.
Returns permits (0: come again), when the first may be used, the gap to each next one and the time
now, all in microseconds; the slack that holds for all, how many members there are, the lowest
ceiling of any; how often the rate was cut, and the curve since then; where permits are not even,
how long after the first each is, and a word for each: even, early or probe; and how long ago the
rate was cut."""

NOW: Final = """
return redis.call('TIME')
"""
"""Seconds since 1970 and microseconds, by the clock of all."""

TOLERATED: Final = """
local time = redis.call('TIME')
return redis.call('HSET', KEYS[1], 'tolerated_at', time[1] * 1000000 + time[2], 'round', 0)
"""
"""KEYS: the account. A probe has shown that the API's limiter lets bursts pass; it holds for an
hour."""

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
