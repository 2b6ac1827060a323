"""What Redis does to a queue in one step each.

A script that fails is not rolled back, and one whose answer was lost is called again: what a script
has done by any point, the same call made again completes. Where a step could not be told from one
that is still to come, the steps behind it are tried to no effect before it, so that none of them
can be refused then (`_PROBE`).
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "workers"

PARTS: Final = ("ids", "queued", "outcomes", "failed", "settled", "writers")
"""The keys of a queue, in the order that the scripts have them.

`ids` is a stream with one consumer group: an entry goes when it is settled, so its length is what
is left. `queued` is a hash of ids to the places of their entries, `settled` the set of ids that
have an outcome, `failed` those of them whose last outcome is failed; `writers` is a hash of those
that add ids at the moment to when they are taken for dead. `queued` and `settled` hold one member
that is no id from the beginning to the end of the queue: a key that is missing is lost.
"""

_MARK: Final = "."
_NOBODY: Final = " "

RELEASED: Final = "-"
"""The consumer that holds what runs have handed back."""

_IDLE_MS: Final = 10**10
"""Longer than any lease: what is handed back may be taken at once."""

_WHOLE: Final = """
if redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[5]) ~= 3 then
  return redis.error_reply('QUEUEGONE')
end
"""

_PROBE: Final = f"""
redis.call('XDEL', KEYS[1], '0-1')
redis.call('HDEL', KEYS[2], '{_NOBODY}')
"""

_IS_MINE: Final = f"""
local function is_mine(place)
  local pending = redis.call('XPENDING', KEYS[1], '{GROUP}', place, place, 1)
  return pending[1] and pending[1][2] == ARGV[1]
end
"""

# An entry may stand where nobody will be given it: somebody deleted the consumer that held it.
_IS_LOST: Final = f"""
local function parts(place)
  local first, second = string.match(place, '(%d+)-(%d+)')
  return tonumber(first), tonumber(second)
end
local given
local function was_given(place)
  if not given then
    local group = redis.call('XINFO', 'GROUPS', KEYS[1])[1]
    for i = 1, #group, 2 do
      if group[i] == 'last-delivered-id' then given = {{parts(group[i + 1])}} end
    end
  end
  local first, second = parts(place)
  return first < given[1] or (first == given[1] and second <= given[2])
end
local function is_lost(place)
  if #redis.call('XRANGE', KEYS[1], place, place) == 0 then return true end
  local pending = redis.call('XPENDING', KEYS[1], '{GROUP}', place, place, 1)
  return was_given(place) and #pending == 0
end
"""

ENQUEUE: Final = f"""{_IS_LOST}
local mode = ARGV[1]
local is_empty = redis.call('XLEN', KEYS[1]) + redis.call('XLEN', KEYS[3]) == 0
  and redis.call('HLEN', KEYS[2]) <= 1 and redis.call('SCARD', KEYS[5]) <= 1
local kept = redis.call('EXISTS', KEYS[2], KEYS[5])
if not is_empty and (kept ~= 2 or mode ~= 'repair' and redis.call('EXISTS', KEYS[1]) == 0) then
  return redis.error_reply('QUEUEGONE')
end
-- First what needs memory: Redis lets the rest of a script do as it likes once it has written.
redis.call('HSET', KEYS[2], '{_MARK}', '')
redis.call('SADD', KEYS[5], '{_MARK}')
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], '{GROUP}', '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP') then return made end
{_PROBE}
redis.call('SREM', KEYS[4], '{_NOBODY}')

local function put(id, line, place, ...)
  redis.call('HSET', KEYS[2], id, place or '0-0')
  local entry = redis.pcall('XADD', KEYS[1], '*', 'id', id, 'line', line, ...)
  if type(entry) == 'table' and entry.err then
    if not place then redis.call('HDEL', KEYS[2], id) end
    return entry
  end
  redis.call('HSET', KEYS[2], id, entry)
  if place then redis.call('XDEL', KEYS[1], place) end
  redis.call('SREM', KEYS[4], id)
  redis.call('SREM', KEYS[5], id)
end

local added = 0
local function add(id, line)
  local place = redis.call('HGET', KEYS[2], id)
  local refused
  if place then
    if mode ~= 'repair' or not is_lost(place) then return end
    refused = put(id, line, place, 'again', '1')
  elseif redis.call('SISMEMBER', KEYS[5], id) == 0 then
    refused = put(id, line)
  elseif mode == 'again' and redis.call('SISMEMBER', KEYS[4], id) == 1 then
    refused = put(id, line, nil, 'again', '1')
  else
    return
  end
  if not refused then added = added + 1 end
  return refused
end

for i = 2, #ARGV, 2 do
  local refused = add(ARGV[i], ARGV[i + 1])
  if refused then return refused end
end
return added
"""
"""KEYS: a queue's. ARGV: 'new', 'again' (failed ids too) or 'repair' (lost ids too), then id and
line of each. Returns how many were added."""

HOLD_OPEN: Final = """
if ARGV[2] == '0' then return redis.call('HDEL', KEYS[6], ARGV[1]) end
local time = redis.call('TIME')
return redis.call('HSET', KEYS[6], ARGV[1], time[1] * 1000 + ARGV[2])
"""
"""KEYS: a queue's. ARGV: who adds ids, and for how many milliseconds it does so at least."""

_IS_OPEN: Final = """
local function is_open()
  local time = redis.call('TIME')
  for _, ends_at in ipairs(redis.call('HVALS', KEYS[6])) do
    if tonumber(ends_at) > time[1] * 1000 then return 1 end
  end
  return 0
end
"""

FETCH: Final = f"""{_WHOLE}{_IS_OPEN}
local me, lease, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local left = redis.call('XLEN', KEYS[1])
if left == 0 then return {{0, redis.call('HLEN', KEYS[2]) - 1, is_open(), {{}}}} end
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
  local read = redis.pcall('XREADGROUP', 'GROUP', '{GROUP}', me, 'COUNT', most - #found,
    'STREAMS', KEYS[1], '>')
  if read and read.err then
    -- What was claimed is this run's now, and must be told.
    if #found == 0 then return read end
  else
    for _, entry in ipairs(read and read[1][2] or {{}}) do
      found[#found + 1] = {{entry[1], entry[2], 0}}
    end
  end
end
return {{left, 0, 1, found}}
"""
"""KEYS: a queue's. ARGV: consumer, lease in milliseconds, entries at most. Returns what is left in
the queue; where that is nothing, how many ids are lost, and 1 where more are to come or 0; and
entries: id, fields, and 1 where it was delivered before."""

RENEW: Final = f"""{_WHOLE}{_IS_MINE}
redis.call('XPENDING', KEYS[1], '{GROUP}', '-', '+', 1)
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

# A run shows an id under another name where it is a secret or none: the entry has the id itself.
_ID_AT: Final = """
local function id_at(place, shown)
  local entry = redis.call('XRANGE', KEYS[1], place, place)[1]
  for i = 1, entry and #entry[2] or 0, 2 do
    if entry[2][i] == 'id' then return entry[2][i + 1] end
  end
  return shown
end
"""

# Also where the memory is full, for the first write needs none: what was sent must be told.
SETTLE: Final = f"""{_WHOLE}{_IS_MINE}{_ID_AT}{_PROBE}
redis.call('XACK', KEYS[1], '{GROUP}', '0-1')
for i = 2, #ARGV, 4 do
  local place = ARGV[i]
  if is_mine(place) then
    local id = id_at(place, ARGV[i + 1])
    redis.call('SADD', KEYS[5], id)
    if ARGV[i + 2] == '1' then redis.call('SADD', KEYS[4], id) end
    redis.call('XADD', KEYS[3], '*', 'record', ARGV[i + 3])
    redis.call('HDEL', KEYS[2], id)
    redis.call('XDEL', KEYS[1], place)
    redis.call('XACK', KEYS[1], '{GROUP}', place)
  end
end
return 1
"""
"""KEYS: a queue's. ARGV: consumer, then entry, the id as it is shown, 1 where it failed or 0, and
record."""

RELEASE: Final = f"""
local pending = redis.call('XPENDING', KEYS[1], '{GROUP}', '-', '+', 100000, ARGV[1])
for _, entry in ipairs(pending) do
  redis.call('XCLAIM', KEYS[1], '{GROUP}', '{RELEASED}', 0, entry[1], 'IDLE', {_IDLE_MS}, 'JUSTID')
end
if #pending < 100000 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], '{GROUP}', ARGV[1]) end
return #pending
"""
"""KEYS: a queue's. ARGV: consumer. Its entries may be taken over at once."""

STATUS: Final = f"""{_WHOLE}
local group = redis.call('XINFO', 'GROUPS', KEYS[1])[1] or {{}}
local lag = -1
for i = 1, #group, 2 do
  if group[i] == 'lag' and group[i + 1] then lag = group[i + 1] end
end
local pending = redis.call('XPENDING', KEYS[1], '{GROUP}')[1]
return {{redis.call('XLEN', KEYS[1]), redis.call('HLEN', KEYS[2]) - 1,
  redis.call('SCARD', KEYS[5]) - 1, redis.call('SCARD', KEYS[4]), redis.call('XLEN', KEYS[3]),
  pending, lag}}
"""
"""KEYS: a queue's. Returns how many ids are left, counted as queued, settled and failed; how many
outcomes there are, entries delivered, and entries not delivered (-1: not known)."""
