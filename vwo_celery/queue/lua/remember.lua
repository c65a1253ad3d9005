-- remember.lua: keep a copy of VWO's settings, and let others fetch it again once it is due.
-- KEYS[1]  settings  HASH    the copies of an account and key
-- KEYS[2]  refresh   STRING  token of who fetches this copy now
-- ARGV[1]  name of the copy
-- ARGV[2]  the copy
-- ARGV[3]  Unix ms at which its fetching began, 0 if that is not known
-- ARGV[4]  time for which it is fresh, ms
-- ARGV[5]  time for which copies are kept after the last of them, ms
-- ARGV[6]  most copies of an account and key
-- ARGV[7]  age from which the oldest copy gives way to a new one, ms
-- ARGV[8]  1 if VWO has told that the settings have changed, else 0
-- ARGV[9]  token of the caller, '' if it has none
-- Returns  now, the Unix ms of the copy; 0 if there is no room for it, or a newer one is there.
-- Cost     O(n), n = copies of the account and key, which are few; and the size of the copy.
--@include clock
--@include copies
local now, name, began = now_ms(), ARGV[1], tonumber(ARGV[3])
local copies, due, pulled = read_copies(KEYS[1]), now + ARGV[4], ARGV[8] == '1'
local count, oldest = 0, nil
for each, copy in pairs(copies) do
  count = count + 1
  if not oldest or copy.at < copies[oldest].at then oldest = each end
end

local is_older = not pulled and copies[name] and began > 0 and began < copies[name].at
  and copies[name].at <= now
local is_full = not copies[name] and count >= tonumber(ARGV[6])
local has_room = not is_full or now - copies[oldest].at >= tonumber(ARGV[7])
if not is_older and has_room then
  if is_full then copies[oldest] = nil end
  local news = tonumber(redis.call('HGET', KEYS[1], 'pulled') or 0)
  if pulled then
    news = now
    for _, copy in pairs(copies) do copy.due = 0 end
  elseif began > 0 and began < news then
    due = 0 -- fetched before VWO told of a change: to be fetched again
  end
  copies[name] = { at = now, due = due }
  local index = {}
  for each, copy in pairs(copies) do
    index[#index + 1] = each .. string.format(' %.0f %.0f;', copy.at, copy.due)
  end
  redis.call('HSET', KEYS[1], name, ARGV[2], 'index', table.concat(index), 'pulled',
    string.format('%.0f', news))
  if is_full then redis.call('HDEL', KEYS[1], oldest) end
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
else
  now = 0
end
if ARGV[9] ~= '' and redis.call('GET', KEYS[2]) == ARGV[9] then redis.call('UNLINK', KEYS[2]) end
return now
