-- turn.lua: hand out wake-ups for what is due, as a task does that ends while batches wait.
-- KEYS[1]  meta    HASH  limits and counters
-- KEYS[2]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[3]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[4]  slots   ZSET  wake-up token -> time from which it may be lost, Unix ms
-- ARGV[1]  wake-up token, unique to this call
-- Returns  the number of slots taken, with tokens ARGV[1]:1 and so on.
-- Cost     O(log n), n = batches.
--@include clock
--@include wake
local m = redis.call('HMGET', KEYS[1], 'parallel', 'slot_ttl_ms', 'paused', 'held_until')
if not m[1] or m[3] or m[4] then return 0 end
redis.call('ZREM', KEYS[4], '') -- allowed when out of memory, as are all writes after it
local k = { ready = KEYS[2], leases = KEYS[3], slots = KEYS[4] }
return (hand_out_slots(k, now_ms(), ARGV[1], tonumber(m[2]), tonumber(m[1])))
