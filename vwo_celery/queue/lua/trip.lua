-- trip.lua: a destination did not accept a batch; open its circuit after too many failures in a row.
-- While it is open, only its probe's failure counts and doubles the wait for the next probe; other failures
-- are of sends that began before it opened.
-- A refusal counts once for each batch, since one bad batch says nothing about the others.
-- KEYS[1]  circuit  HASH  failures, since_ms, until_ms, opened_ms, openings, refusals; while a probe is out:
--                        probe, probe_until_ms, probed_ms; searched_ms; failed:ID of each batch refused
-- KEYS[2]  tally    HASH  that of the queue's first shard, see shared/tally.lua
-- ARGV[1]  failures in a row that open it
-- ARGV[2]  wait for the first probe, ms
-- ARGV[3]  longest wait for a probe, ms
-- ARGV[4]  shortest wait, as VWO asked for it, ms
-- ARGV[5]  random number r from 0 to 1: a wait of w becomes w * (1 + r) / 2
-- ARGV[6]  Unix ms at which VWO last accepted a batch, as far as the caller knows, 0 for never
-- ARGV[7]  token of the caller's probe, '' if it was none
-- ARGV[8]  the field that counts openings for this kind of failure, 'openings' or 'refusals'
-- ARGV[9]  id of the batch that was refused; '' to count the failure whichever batch it was
-- Returns  ms until the next probe, 0 if the circuit is closed.
-- Cost     O(1).
--@include clock
--@include tally
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local MOST_DOUBLINGS, KEPT_MS = 30, 3600000
local c = redis.call('HMGET', KEYS[1], 'failures', 'since_ms', 'until_ms', ARGV[8], 'probe', 'opened_ms')
local now, openings = now_ms(), tonumber(c[4] or 0)
if c[3] and (ARGV[7] == '' or c[5] ~= ARGV[7]) then
  return math.max(1, c[3] - math.max(now, c[6] or 0)) -- not longer than was given, if Redis' clock stepped back
end
if not c[3] then
  local failures, since = tonumber(c[1] or 0) + 1, tonumber(c[2] or now)
  if tonumber(ARGV[6]) > since then
    redis.call('DEL', KEYS[1]) -- what was counted before it accepted a batch counts no more
    failures, since, openings = 1, now, 0
  end
  if ARGV[9] ~= '' and redis.call('HSETNX', KEYS[1], 'failed:' .. ARGV[9], now) == 0 then
    failures = failures - 1
  end
  redis.call('HSET', KEYS[1], 'failures', failures, 'since_ms', since)
  redis.call('PEXPIRE', KEYS[1], KEPT_MS)
  if failures < tonumber(ARGV[1]) then return 0 end
end
local wait = math.min(tonumber(ARGV[3]), ARGV[2] * 2 ^ math.min(openings, MOST_DOUBLINGS))
wait = math.max(1, math.floor(wait * (1 + ARGV[5]) / 2), tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'until_ms', now + wait, 'opened_ms', now, ARGV[8], openings + 1)
redis.call('HDEL', KEYS[1], 'probe', 'probe_until_ms', 'probed_ms')
redis.call('PEXPIRE', KEYS[1], wait + KEPT_MS)
if not c[3] then tally(KEYS[2], 'opened', 1) end
return wait
