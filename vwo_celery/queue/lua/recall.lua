-- recall.lua: look a copy of VWO's settings up; if it is due or missing, let one caller fetch it.
-- KEYS[1]  settings  HASH    the copies of an account and key
-- KEYS[2]  refresh   STRING  token of who fetches this copy now
-- ARGV[1]  name of the copy
-- ARGV[2]  Unix ms of the copy that the caller has already, 0 for none
-- ARGV[3]  age up to which a copy may be used, ms
-- ARGV[4]  token of the caller
-- ARGV[5]  how long it may take to fetch the copy, ms
-- Returns  { now, Unix ms of the copy or 0, 1 if it is fresh, 1 if the caller is to fetch it,
--          the copy or '' if the caller has it }
-- Cost     O(n), n = copies of the account and key, which are few; and the size of the copy.
--@include clock
--@include copies
local now, copy, text = now_ms(), read_copies(KEYS[1])[ARGV[1]], ''
if copy and now - copy.at >= tonumber(ARGV[3]) then copy = nil end
if copy and copy.at ~= tonumber(ARGV[2]) then
  text = redis.call('HGET', KEYS[1], ARGV[1])
  if not text then copy, text = nil, '' end
end
if copy and copy.at <= now and now < copy.due then return { now, copy.at, 1, 0, text } end
-- A Redis that takes no writes must not keep anybody from fetching: an error counts as a lease.
local lease = redis.pcall('SET', KEYS[2], ARGV[4], 'NX', 'PX', ARGV[5])
return { now, copy and copy.at or 0, 0, lease and 1 or 0, text }
