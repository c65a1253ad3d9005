-- purge.lua: drop a dead-lettered batch for good, counted as dropped.
-- KEYS[1]  meta   HASH  counters
-- KEYS[2]  info   HASH  batch id -> its line
-- KEYS[3]  dead   ZSET  batch id -> dead-lettered at
-- KEYS[4]  batch  LIST  its events
-- KEYS[5]  settled ZSET  outcome:events:batch id:sealed ms -> when, Unix ms
-- KEYS[6]  arrived ZSET  batch id -> its trace; that of an import goes: it may be imported again
-- KEYS[7]  traced HASH  see shared/contexts.lua
-- ARGV[1]  batch id
-- ARGV[2]  the reason, one word, under which it is counted; 'vanished' if its events were deleted before
-- ARGV[3]  drop it only while more dead events than this are kept; -1 for always
-- Returns  the number of events dropped; 0 if it was not among the dead letters; -1 if not more are kept.
-- Cost     O(log n); the events are freed in the background.
--@include clock
--@include drops
--@include info
--@include outcome
--@include traces
if tonumber(redis.call('HGET', KEYS[1], 'dead') or 0) <= tonumber(ARGV[3]) then return -1 end
local batch = read_info(KEYS[2], ARGV[1])
if not batch or not redis.call('ZSCORE', KEYS[3], ARGV[1]) then return 0 end
redis.call('ZREM', KEYS[3], '') -- allowed when out of memory, as are all writes after it
redis.call('HDEL', KEYS[2], '')
redis.call('HINCRBY', KEYS[1], 'dead', 0)
local noting = try_to_note(KEYS[1], KEYS[5])
local trace, now = redis.call('ZSCORE', KEYS[6], ARGV[1]), now_ms()
local was_there = redis.call('UNLINK', KEYS[4]) == 1 -- if this or one before it is denied, nothing has changed
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.pcall('HDEL', KEYS[7], ARGV[1])
if trace and not is_of_move(trace, now) then
  redis.call('ZREM', KEYS[6], ARGV[1])
end
redis.call('HINCRBY', KEYS[1], 'dead', -batch.events)
local reason = was_there and ARGV[2] or 'vanished'
count_drop(KEYS[1], reason, batch.events)
note_outcome(noting, KEYS[5], ARGV[1], reason, batch.events, -1)
return batch.events
