-- arrive.lua: make a batch of staged events, once; they count as accepted.
-- The trace of its arrival outlives the batch, so that a repeat changes nothing, even after its delivery.
-- KEYS[1]  meta     HASH  limits and counters
-- KEYS[2]  ready    ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  info     HASH  batch id -> its line
-- KEYS[4]  dead     ZSET  batch id -> dead-lettered at, Unix ms
-- KEYS[5]  staged   LIST  its events
-- KEYS[6]  batch    LIST  its events, from now on
-- KEYS[7]  arrived  ZSET  batch id -> its trace
-- KEYS[8]  births   ZSET  see shared/indexes.lua
-- KEYS[9]  traced   HASH  see shared/contexts.lua
-- ARGV[1]  batch id
-- ARGV[2]  its state: 'ready', from now on and with a new age, or 'dead'
-- ARGV[3]  attempts so far
-- ARGV[4]  number of events
-- ARGV[5]  their size, separators included
-- ARGV[6]  Unix ms of its oldest event
-- ARGV[7]  why it was last released or dead-lettered
-- ARGV[8]  Unix ms of its dead-lettering
-- ARGV[9]  the counter, beside `accepted`, that counts its events
-- ARGV[10] time for which its trace is kept, ms
-- ARGV[11] what its old queue kept of its events' trace contexts; '' for nothing
-- Returns  1 it has arrived; 0 it had arrived before; -1 the queue would hold too many events; -2 too many
--          bytes; -3 the queue is not registered here; -5 its arrival has been forgone; -6 its events are
--          not staged.
-- Cost     O(log n), n = batches.
--@include arrivals
--@include clock
--@include in_index
--@include info
--@include kept_contexts
--@include taken
--@include room
local trace, events = redis.call('ZSCORE', KEYS[7], ARGV[1]), tonumber(ARGV[4])
if trace then return tonumber(trace) > 0 and 0 or -5 end
if redis.call('HGET', KEYS[3], ARGV[1]) then return 0 end
if redis.call('LLEN', KEYS[5]) ~= events then return -6 end
if redis.call('HEXISTS', KEYS[1], 'capacity_events') == 0 then return -3 end
redis.call('HINCRBY', KEYS[1], 'accepted', 0) -- denied when out of memory
take_room_back(KEYS[1]) -- the queue is about to be fuller than when it was granted
local m = redis.call('HMGET', KEYS[1], 'capacity_events', 'capacity_bytes', 'events', 'bytes')
if ARGV[2] == 'ready' then
  if (m[3] or 0) + events > tonumber(m[1]) then return -1 end
  if (m[4] or 0) + ARGV[5] > tonumber(m[2]) then return -2 end
end

-- A command that Redis denies leaves everything as it was: each is tried before the first that counts.
local now = now_ms()
forget_old_arrivals(KEYS[7], now)
redis.call('ZADD', KEYS[2], 'XX', 0, '')
redis.call('HSET', KEYS[1], 'arrived_ms', now)
redis.call('RENAME', KEYS[5], KEYS[6])
redis.call('ZADD', KEYS[7], now + ARGV[10], ARGV[1])
write_info(KEYS[3], ARGV[1], { attempt = ARGV[3], lost = 0, events = ARGV[4], bytes = ARGV[5],
                               first = ARGV[6], sealed = now, error = ARGV[7] })
if ARGV[11] ~= '' then keep_contexts_of_batch(KEYS[9], ARGV[1], ARGV[11]) end
redis.call('HINCRBY', KEYS[1], 'accepted', events)
redis.call('HINCRBY', KEYS[1], ARGV[9], events)
if ARGV[2] == 'dead' then
  redis.call('ZADD', KEYS[4], ARGV[8], ARGV[1])
  redis.call('HINCRBY', KEYS[1], 'dead', events)
else
  redis.call('ZADD', KEYS[2], now, ARGV[1])
  in_index(redis.pcall('ZADD', KEYS[8], ARGV[6], ARGV[1]))
  redis.call('HINCRBY', KEYS[1], 'events', events)
  redis.call('HINCRBY', KEYS[1], 'bytes', ARGV[5])
end
return 1
