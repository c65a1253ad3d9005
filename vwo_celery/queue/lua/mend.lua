-- mend.lua: end a probe; close the circuit if the destination answered.
-- KEYS[1]  circuit  HASH  see trip.lua
-- ARGV[1]  token of the caller's probe
-- ARGV[2]  1 if the destination answered, 0 if nothing was sent after all
-- Returns  1 if the circuit is closed now, else 0.
-- Cost     O(1).
if redis.call('HGET', KEYS[1], 'probe') ~= ARGV[1] then
  return 1 - redis.call('HEXISTS', KEYS[1], 'until_ms')
end
if ARGV[2] == '1' then return redis.call('DEL', KEYS[1]) end
redis.call('HDEL', KEYS[1], 'probe', 'probe_until_ms', 'probed_ms')
return 0
