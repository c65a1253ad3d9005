-- report.lua: add to a shard's tally what a process counted where no script saw it, once.
-- Such events were dropped before Redis accepted them, were spooled, or were drained.
-- KEYS[1]  tally  HASH    name -> events; recent:<name>, since_ms:<name> and last_ms:<name>: those of the latest
--                         run of such events, in which none came an hour after the one before
-- KEYS[2]  meta   HASH    limits and counters; there for every registered queue
-- KEYS[3]  mark   STRING  there if this report is counted already
-- ARGV[1+] name, events, ms since the first of them, ms since the last, name, …
-- Returns  1 counted now, 0 counted before, -1 not registered: nothing is counted.
-- Cost     O(k), k = names given.
--@include clock
local RUN_ENDS_MS = 3600000
local MARK_TTL_MS = '86400000'

if redis.call('EXISTS', KEYS[2]) == 0 then return -1 end
local now, changes = now_ms(), {}
for i = 1, #ARGV, 4 do
  local name, events = ARGV[i], tonumber(ARGV[i + 1])
  local first, last = now - ARGV[i + 2], now - ARGV[i + 3]
  local had = redis.call('HMGET', KEYS[1], name, 'recent:' .. name, 'since_ms:' .. name, 'last_ms:' .. name)
  local before, recent, since, until_ms = tonumber(had[1]) or 0, 0, first, tonumber(had[4]) or 0
  if first - until_ms < RUN_ENDS_MS then
    recent, since = tonumber(had[2]) or 0, math.min(first, tonumber(had[3]) or first)
  end
  for field, number in pairs({
    [name] = before + events, ['recent:' .. name] = recent + events,
    ['since_ms:' .. name] = since, ['last_ms:' .. name] = math.max(last, until_ms),
  }) do
    changes[#changes + 1], changes[#changes + 2] = field, string.format('%.0f', number)
  end
end

-- The first write is one that Redis denies when it is out of memory.
if not redis.call('SET', KEYS[3], 1, 'PX', MARK_TTL_MS, 'NX') then return 0 end
local denied = redis.pcall('HSET', KEYS[1], unpack(changes))
if type(denied) == 'table' then
  redis.call('SET', KEYS[3], 1, 'PXAT', 1) -- in the past: the mark is gone
  return denied
end
return 1
