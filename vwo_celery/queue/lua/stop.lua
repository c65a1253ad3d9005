-- stop.lua: let nothing be claimed from a shard; note since when, why and by whom.
-- A stop that is renewed keeps the time at which it began. Where all workers decline a shard that an open
-- circuit holds as well, the circuit's reason stays: the hold lasts once a worker may send.
-- A pause of another cause is noted beside the first one: an operator who pauses what VWO refuses hides
-- neither the refusal nor themselves. The pause of an operator stays the first operator's.
-- KEYS[1]  meta    HASH  limits and counters
-- ARGV[1]  'paused' or 'held_until'
-- ARGV[2]  why it is paused; or the Unix ms until which it is held
-- ARGV[3+] field, value, field, value, …: what is known about it; of a pause, without 'paused' before it
-- ARGV[4]  the first of these values: its cause
-- Returns  0 if an operator's pause was there before and is kept; 2 if it was paused before, and the other
--          cause is noted now; else 1.
-- Cost     O(1).
--@include clock
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local is_new = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0
if ARGV[1] == 'held_until' then
  local by = redis.call('HGET', KEYS[1], 'held_by')
  if is_new then redis.call('HDEL', KEYS[1], 'held_ms', 'held_by', 'held_why') end
  redis.call('HSETNX', KEYS[1], 'held_ms', now_ms())
  local keeps = not is_new and ARGV[4] == 'workers' and by and by ~= 'workers'
  redis.call('HSET', KEYS[1], unpack(ARGV, 1, keeps and 2 or #ARGV))
  return 1
end
local FACTS = { 'paused_ms', 'paused_by', 'paused_who' }
local stem, answer = 'paused', 1
if is_new then
  redis.call('HDEL', KEYS[1], unpack(FACTS)) -- of a pause that an older release has ended
  redis.call('HDEL', KEYS[1], 'paused_also', 'paused_also_ms', 'paused_also_by', 'paused_also_who')
elseif (redis.call('HGET', KEYS[1], 'paused_by') or '') ~= ARGV[4] then
  stem, answer = 'paused_also', 2
end
if not is_new and ARGV[4] == 'operator' and redis.call('HGET', KEYS[1], stem .. '_by') == 'operator' then
  return 0
end
redis.call('HSETNX', KEYS[1], stem .. '_ms', now_ms())
redis.call('HSET', KEYS[1], stem, ARGV[2])
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], stem .. ARGV[i], ARGV[i + 1]) end
return answer
