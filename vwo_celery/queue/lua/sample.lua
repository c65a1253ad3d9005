-- sample.lua: write a shard's numbers as they stand into its history.
-- The id of a sample is the beginning of its minute, ten minutes or hour, so that Redis itself refuses a second
-- one: any number of sweepers may sample. Counters are cumulative, so that a coarser stream is one that is
-- written less often.
-- KEYS[1]  meta     HASH    limits and counters
-- KEYS[2]  open     LIST    the list being filled
-- KEYS[3]  births   ZSET    batch id -> first ms of each batch that is not dead
-- KEYS[4]  tally    HASH    see shared/tally.lua
-- KEYS[5+] history  STREAM  one for each period, see PERIODS in histories.py
-- ARGV     for each stream: its period, ms, the most samples that it keeps, and 1 if ages are kept as well
-- Returns  the number of streams that took the sample; fewer if others have one of this period.
-- Cost     O(log n), n = batches.
--@include clock
--@include taken
local KEPT_MS = 90 * 86400000 -- after the last sample
local m, now = {}, now_ms()
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do m[all[i]] = all[i + 1] end

local function number(field) return tonumber(m[field] or 0) or 0 end

-- What append.lua stored since the counters were last brought up to date; see shared/room.lua.
local taken_events, taken_bytes = taken_of_room(m['granted'], m['room'], m['granted_accepted'],
  m['accepted'], false)
local new_events = number('granted_events') - number('room_events') + taken_events
local new_bytes = number('granted_bytes') - number('room_bytes') + taken_bytes
local dropped = 0
for field in pairs(m) do
  if string.sub(field, 1, 8) == 'dropped:' then dropped = dropped + number(field) end
end
local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2]
if redis.call('LLEN', KEYS[2]) > 0 and number('open_events') + new_events > 0 and number('first_ms') > 0 then
  first = math.min(tonumber(first or now), number('first_ms'))
end
local oldest_ms = math.max(0, now - tonumber(first or now))

local tries, failed, ages = 0, 0, {}
local told = redis.pcall('HGETALL', KEYS[4]) -- what other programs made of it costs these numbers alone
for i = 1, #told, 2 do
  local family, name = string.match(told[i], '^(%l+):(.*)$')
  local count = (family == 'answer' or family == 'age') and tonumber(told[i + 1]) or 0
  if family == 'answer' then
    tries = tries + count
    if not string.find(name, '^2%d%d$') then failed = failed + count end
  elseif count > 0 then
    ages[#ages + 1] = string.format('%s:%d', name, count)
  end
end

local sample = {
  'accepted', number('accepted') + new_events, 'delivered', number('delivered'), 'dead', number('dead'),
  'dropped', dropped, 'refused', number('refused'), 'undelivered', number('events') + new_events,
  'bytes', number('bytes') + new_bytes, 'oldest_ms', oldest_ms,
  'stopped', (m['paused'] or m['held_until']) and 1 or 0, 'tries', tries, 'failed', failed,
}
for i = 2, #sample, 2 do sample[i] = string.format('%d', sample[i]) end
local with_ages = { 'ages', table.concat(ages, ' '), unpack(sample) }

local taken = 0
for i = 5, #KEYS do
  local period, most, fields = tonumber(ARGV[3 * i - 14]), ARGV[3 * i - 13], sample
  if ARGV[3 * i - 12] == '1' then fields = with_ages end
  local id = string.format('%d-0', now - now % period)
  local added = redis.pcall('XADD', KEYS[i], 'MAXLEN', most, id, unpack(fields))
  if type(added) ~= 'table' then
    redis.call('PEXPIRE', KEYS[i], string.format('%d', KEPT_MS))
    taken = taken + 1
  elseif not string.find(added.err, 'equal or smaller', 1, true) then
    return added
  end
end
return taken
