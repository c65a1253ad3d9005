-- shared/wake.lua: hand out wake-up slots: never more than there is work, or parallel sends allowed.
-- A slot is taken until its task's claim finds nothing, or its time to live ends: so a lost task
-- delays, and never strands, a batch. Batches in flight count as work, since their lane is busy.
-- Tokens are token:1 .. token:k, k being the result. `leasing` due batches are leased right afterwards.
local function hand_out_slots(k, now, token, ttl_ms, parallel, leasing)
  local due = redis.call('ZCOUNT', k.ready, '-inf', now) + redis.call('ZCOUNT', k.leases, '-inf', now)
  due = due - (leasing or 0)
  if due == 0 then return 0 end
  redis.call('ZREMRANGEBYSCORE', k.slots, '-inf', now)
  local busy = redis.call('ZCOUNT', k.leases, '(' .. now, '+inf') + (leasing or 0)
  local new = math.min(parallel, due + busy) - redis.call('ZCARD', k.slots)
  for j = 1, new do redis.call('ZADD', k.slots, now + ttl_ms, token .. ':' .. j) end
  return math.max(new, 0)
end
