-- shared/arrivals.lua: the trace of a batch that a move or an import brought, so that it comes once.
-- A trace is the Unix ms until which it is kept; negative for a batch that shall never come.
local function forget_old_arrivals(key, now)
  redis.call('ZREMRANGEBYSCORE', key, '(0', now)
  redis.call('ZREMRANGEBYSCORE', key, -now, '(0')
end
