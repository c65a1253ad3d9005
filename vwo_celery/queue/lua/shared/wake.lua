-- shared/wake.lua: hand out wake-up slots: never more than there is work, or lanes that may take it.
-- A slot is taken while its wake-up waits for a task, and is free once that task claims. Time alone frees
-- none: a message may wait in the broker for as long as all lanes are busy. The sweep frees those whose
-- messages are lost.
-- At most `most` slots, if given, are out at once; `leasing` due batches are leased right afterwards.
-- Tokens are token:1 .. token:k, k being the first result; the second is the number of batches due.
local function hand_out_slots(k, now, token, ttl_ms, parallel, most, leasing)
  local due = redis.call('ZCOUNT', k.ready, '-inf', now) + redis.call('ZCOUNT', k.leases, '-inf', now)
  due = due - (leasing or 0)
  if due == 0 then return 0, 0 end
  local busy = redis.call('ZCOUNT', k.leases, '(' .. now, '+inf') + (leasing or 0)
  local new = math.max(0, math.min(due, parallel - busy, most or due) - redis.call('ZCARD', k.slots))
  for j = 1, new do redis.call('ZADD', k.slots, now + ttl_ms, token .. ':' .. j) end
  return new, due
end
