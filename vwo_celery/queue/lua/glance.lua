-- glance.lua: the numbers of one shard, at the same cost for any number of batches and events; changes nothing.
-- The answers of commands, as a client that may not run scripts sends them itself: see looks/glances.py.
-- KEYS[1]  open    LIST  the list being filled
-- KEYS[2]  meta    HASH  limits and counters
-- KEYS[3]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[4]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[5]  info    HASH  batch id -> its line
-- KEYS[6]  dead    ZSET  batch id -> dead-lettered at, Unix ms
-- KEYS[7]  births  ZSET  see shared/indexes.lua
-- KEYS[8]  released ZSET see shared/indexes.lua
-- KEYS[9]  leaving  HASH batch id -> its record, see depart.lua
-- KEYS[10] slots   ZSET  wake-up token -> time from which it may be lost, Unix ms
-- ARGV[1]  number of leases that are read at most
-- ARGV[2]  number of batches that are read at each end of ready, and of births
-- Returns  {time, meta but for the registration, open events, ready, leases, dead, births, released: their
--          numbers, those of leaving and slots; leases, first ready, last ready, first births, worst released: each with scores, number of
--          ready batches that are hidden, the next of them, lines of the leases, of the first and last ready and
--          of the worst, births of the first and last ready, places of the first births in ready, in leases,
--          scores in released of the leases and of the last ready};
--          of a shard without batches and slots only {time, meta but for the registration, open events}
-- Cost     O(log n + leases), n = batches; four commands where there is none, as in most shards of many.
local MOST, FEW = ARGV[1] - 1, ARGV[2] - 1
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local meta = redis.call('HGETALL', KEYS[2])
for i = 1, #meta, 2 do
  if meta[i] == 'registration' then -- long, and no number: the last field takes its place
    meta[i], meta[i + 1] = meta[#meta - 1], meta[#meta]
    meta[#meta], meta[#meta - 1] = nil, nil
    break
  end
end

local open = redis.call('LLEN', KEYS[1])
if redis.call('EXISTS', KEYS[3], KEYS[4], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]) == 0 then
  return { t, meta, open }
end

local leases = redis.call('ZRANGE', KEYS[4], 0, MOST, 'WITHSCORES')
local first = redis.call('ZRANGE', KEYS[3], 0, FEW, 'WITHSCORES')
local last = redis.call('ZRANGE', KEYS[3], -FEW - 1, -1, 'WITHSCORES')
local births = redis.call('ZRANGE', KEYS[7], 0, FEW, 'WITHSCORES')
local worst = redis.call('ZRANGE', KEYS[8], -1, -1, 'WITHSCORES')

local function names(...)
  local all = {}
  for _, members in ipairs({ ... }) do
    for i = 1, #members, 2 do all[#all + 1] = members[i] end
  end
  return all
end

local function scores(key, ids)
  if #ids == 0 then return {} end
  return redis.call('ZMSCORE', key, unpack(ids))
end

local read = names(leases, first, last, worst)
return {
  t, meta, open,
  redis.call('ZCARD', KEYS[3]), redis.call('ZCARD', KEYS[4]), redis.call('ZCARD', KEYS[6]),
  redis.call('ZCARD', KEYS[7]), redis.call('ZCARD', KEYS[8]),
  redis.call('HLEN', KEYS[9]), redis.call('ZCARD', KEYS[10]),
  leases, first, last, births, worst,
  redis.call('ZCOUNT', KEYS[3], '(' .. now, '+inf'),
  redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1),
  #read > 0 and redis.call('HMGET', KEYS[5], unpack(read)) or {},
  scores(KEYS[7], names(first, last)),
  scores(KEYS[3], names(births)), scores(KEYS[4], names(births)),
  scores(KEYS[8], names(leases, last)),
}
