-- vanish.lua: count a batch as dropped whose events somebody deleted from Redis, and forget it.
-- KEYS[1]  meta    HASH  counters
-- KEYS[2]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[4]  info    HASH  batch id -> its line
-- KEYS[5]  dead    ZSET  batch id -> dead-lettered at, Unix ms
-- KEYS[6]  births  ZSET  see shared/indexes.lua
-- KEYS[7]  released ZSET see shared/indexes.lua
-- KEYS[8]  settled ZSET  outcome:events:batch id:sealed ms -> when, Unix ms
-- KEYS[9]  batch   LIST  its events
-- KEYS[10] traced  HASH  see shared/contexts.lua
-- ARGV[1]  batch id
-- ARGV[2]  attempt under which the caller holds its lease; '' for a batch that no worker holds
-- Returns  the number of its events; 0 if they are there, if it is settled, or if it is another's.
-- Cost     O(log n), n = batches.
--@include clock
--@include drops
--@include in_index
--@include indexes
--@include info
--@include outcome
local batch, now = read_info(KEYS[4], ARGV[1]), now_ms()
if not batch or redis.call('EXISTS', KEYS[9]) == 1 then return 0 end
local lease, died = redis.call('ZSCORE', KEYS[3], ARGV[1]), redis.call('ZSCORE', KEYS[5], ARGV[1])
if ARGV[2] ~= '' then
  if not lease or batch.attempt ~= tonumber(ARGV[2]) then return 0 end
elseif lease and tonumber(lease) > now then
  return 0
end

redis.call('ZREM', KEYS[2], '') -- allowed when out of memory, as are all writes after it
redis.call('HDEL', KEYS[4], '')
redis.call('HINCRBY', KEYS[1], 'events', 0)
local noting = try_to_note(KEYS[1], KEYS[8]) -- if this or one before it is denied, nothing has changed
for _, set in ipairs({ KEYS[2], KEYS[3], KEYS[5] }) do redis.call('ZREM', set, ARGV[1]) end
in_index(redis.pcall('ZREM', KEYS[6], ARGV[1]))
leave_released(KEYS[7], KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
redis.pcall('HDEL', KEYS[10], ARGV[1])
if died then
  redis.call('HINCRBY', KEYS[1], 'dead', -batch.events)
else
  redis.call('HINCRBY', KEYS[1], 'events', -batch.events)
  redis.call('HINCRBY', KEYS[1], 'bytes', -batch.bytes)
end
count_drop(KEYS[1], 'vanished', batch.events)
note_outcome(noting, KEYS[8], ARGV[1], 'vanished', batch.events, died and -1 or batch.sealed)
return batch.events
