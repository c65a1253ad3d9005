-- shared/drops.lua: count events that are dropped after they were accepted, and when the first and the last were.
-- The names of the times do not begin with "dropped:", since all that does is summed up by the ledger.
local function count_drop(meta, reason, events)
  local now = now_ms()
  redis.call('HINCRBY', meta, 'dropped:' .. reason, events)
  redis.pcall('HSETNX', meta, 'drop_first_ms:' .. reason, now) -- a user who may not loses the time alone
  redis.pcall('HSET', meta, 'drop_last_ms:' .. reason, now)
end
