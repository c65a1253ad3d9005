-- shared/clock.lua: Redis' own time, the only clock that ages, leases and delays are measured by.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
