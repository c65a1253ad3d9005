-- shadow.lua: add to the shadow's counters what one process counted since its last call, once.
-- KEYS[1]  shadow  HASH  since_ms; rows, ended, unlisted: numbers; row:<name> -> its numbers, a count and two
--                        32-bit sums of digests of each kind; process:<id> -> call:last ms:first ms:held:state:host
-- ARGV[1]  process; ARGV[2] number of this call, from 1
-- ARGV[3]  since_ms as the process knows it, 0 if it does not; ARGV[4] events that its SDK holds now
-- ARGV[5]  state: runs, or ended; ARGV[6] its host
-- ARGV[7]  ms for which the counters are kept; ARGV[8] most rows; ARGV[9] most processes
-- ARGV[10] name of the row for those beyond; ARGV[11+] row, its numbers to be added, row, …
-- Returns  {1 counted now, 0 counted before, -1 the counters were forgotten meanwhile: nothing is counted; since_ms}
-- Cost     O(r), r = rows given.
--@include clock
local WORD = 4294967296
local k, now = KEYS[1], now_ms()
local since = redis.call('HGET', k, 'since_ms')
if ARGV[3] ~= '0' and ARGV[3] ~= since then return {-1, tonumber(since) or 0} end
local field = 'process:' .. ARGV[1]
local had = redis.call('HGET', k, field)
local call, first = 0, now
if had then
  local number, _, began = string.match(had, '^(%d+):(%d+):(%d+):')
  call, first = tonumber(number) or 0, tonumber(began) or now
end
if call >= tonumber(ARGV[2]) then return {0, tonumber(since)} end

-- What is counted is one command, after those that may be denied; the first is one that Redis denies when it is
-- out of memory.
since = since or string.format('%.0f', now)
redis.call('HSET', k, 'since_ms', since)
redis.call('PEXPIRE', k, ARGV[7])
local changes = {}
local function set(name, value)
  changes[#changes + 1], changes[#changes + 2] = name, value
end
local function count(name) return tonumber(redis.call('HGET', k, name)) or 0 end

local line = string.format('%s:%.0f:%.0f:%s:%s:%s', ARGV[2], now, first, ARGV[4], ARGV[5], ARGV[6])
local listed = count('listed')
if ARGV[5] == 'ended' and ARGV[4] == '0' then
  if had then
    redis.call('HDEL', k, field)
    set('listed', listed - 1)
  end
  set('ended', count('ended') + 1)
elseif had or listed < tonumber(ARGV[9]) then
  set(field, line)
  if not had then set('listed', listed + 1) end
elseif ARGV[2] == '1' then
  set('unlisted', count('unlisted') + 1)
end

local rows, most, others = count('rows'), tonumber(ARGV[8]), 'row:' .. ARGV[10]
local sums = {}
for i = 11, #ARGV, 2 do
  local row = 'row:' .. ARGV[i]
  local before = sums[row] or redis.call('HGET', k, row)
  if not before then
    if rows < most then rows = rows + 1 else row = others end
    before = sums[row] or redis.call('HGET', k, row)
  end
  local old, new = {}, {}
  for number in string.gmatch(before or '', '%-?%d+') do old[#old + 1] = tonumber(number) end
  for number in string.gmatch(ARGV[i + 1], '%-?%d+') do
    local place = #new + 1
    local sum = (old[place] or 0) + tonumber(number)
    if place % 3 ~= 1 then sum = sum % WORD end
    new[place] = string.format('%.0f', sum)
  end
  sums[row] = table.concat(new, ' ')
end
for row, numbers in pairs(sums) do set(row, numbers) end
set('rows', rows)
redis.call('HSET', k, unpack(changes))
return {1, tonumber(since)}
