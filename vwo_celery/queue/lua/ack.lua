-- ack.lua: a batch was accepted by VWO; forget it and count it.
-- By id alone, whoever holds the lease: a batch never changes and its id is never used again, so
-- that one acceptance is acceptance. Safe to run twice.
-- KEYS[1]  meta    HASH  counters
-- KEYS[2]  ready   ZSET  batch id -> visible from
-- KEYS[3]  leases  ZSET  batch id -> lease expiry
-- KEYS[4]  info    HASH  batch id -> its line
-- KEYS[5]  dead    ZSET  batch id -> dead-lettered at
-- KEYS[6]  batch   LIST  its events
-- KEYS[7]  settled ZSET  outcome:events:batch id:sealed ms -> when, Unix ms
-- KEYS[8]  births  ZSET  see shared/indexes.lua
-- KEYS[9]  released ZSET see shared/indexes.lua
-- KEYS[10] tally   HASH  see shared/tally.lua
-- KEYS[11] traced  HASH  see shared/contexts.lua
-- ARGV[1]  batch id
-- ARGV[2]  Unix ms of the claim after which it was sent; '' if it is not known
-- ARGV[3+] what the caller counted, see shared/tally.lua
-- Returns  1 if it was still there, 0 if it had been settled before.
-- Cost     O(log n); the events are freed in the background.
--@include clock
--@include in_index
--@include indexes
--@include info
--@include outcome
--@include tally
local batch = read_info(KEYS[4], ARGV[1])
if not batch then return 0 end
-- A command that Redis denies must not leave half of it: each is tried before the events go.
redis.call('HDEL', KEYS[4], '') -- allowed when out of memory, as are all writes after it
redis.call('ZREM', KEYS[3], '')
redis.call('HSET', KEYS[1], 'delivered_ms', now_ms())
redis.call('HINCRBY', KEYS[1], 'delivered', 0)
leave_released(KEYS[9], KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], 'failing_ms')
local noting, sealed = try_to_note(KEYS[1], KEYS[7]), batch.sealed
redis.call('UNLINK', KEYS[6])
redis.call('HINCRBY', KEYS[1], 'delivered', batch.events)
redis.call('HDEL', KEYS[4], ARGV[1])
in_index(redis.pcall('ZREM', KEYS[2], ARGV[1]))
redis.call('ZREM', KEYS[3], ARGV[1])
in_index(redis.pcall('ZREM', KEYS[8], ARGV[1]))
redis.pcall('HDEL', KEYS[11], ARGV[1])
if in_index(redis.pcall('ZREM', KEYS[5], ARGV[1])) == 1 then
  sealed = -1
  redis.call('HINCRBY', KEYS[1], 'dead', -batch.events)
else
  redis.call('HINCRBY', KEYS[1], 'events', -batch.events)
  redis.call('HINCRBY', KEYS[1], 'bytes', -batch.bytes)
end
note_outcome(noting, KEYS[7], ARGV[1], 'delivered', batch.events, sealed)
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'proof_ms', ARGV[2]) end
tally_given(KEYS[10], 3)
return 1
