-- awaited.lua: find a batch that a flush waits for: sealed before it began, and neither dead nor settled.
-- Changes nothing. Where every release that settles batches leaves notes, a flush counts these; this is how it
-- learns that nothing is left where an older one does not, or where Redis has lost something.
-- KEYS[1]  ready   ZSET  batch id -> visible from, Unix ms
-- KEYS[2]  leases  ZSET  batch id -> lease expiry, Unix ms
-- KEYS[3]  info    HASH  batch id -> its line
-- ARGV[1]  Unix ms at which the flush began
-- ARGV[2]  a batch that it found before, '' for none
-- ARGV[3]  place among the ready batches at which to go on, counted from 0
-- ARGV[4+] batches sealed in the millisecond ARGV[1] that it waits for
-- Returns  {1, batch id} if there is one; {0, place to go on at}, -1 after the last.
-- Cost     O(log n + k), n = batches, k = batches in flight and at most PAGE others.
--@include info
local PAGE = 500
local began, twins = tonumber(ARGV[1]), {}
for i = 4, #ARGV do twins[ARGV[i]] = true end

local function is_twin(id)
  while id and not twins[id] do id = string.match(id, '^(.*)%+') end -- a part of it is, too
  return id ~= nil
end

local function is_awaited(id)
  local batch, line = read_info(KEYS[3], id)
  if not batch then return line ~= nil end -- one of a later release
  local sealed = tonumber(batch.sealed)
  return sealed < began or sealed == began and is_twin(id)
end

local function first_awaited(ids)
  for _, id in ipairs(ids) do
    if is_awaited(id) then return id end
  end
end

local function waits(id) return redis.call('ZSCORE', KEYS[1], id) or redis.call('ZSCORE', KEYS[2], id) end

if ARGV[2] ~= '' and waits(ARGV[2]) and is_awaited(ARGV[2]) then return { 1, ARGV[2] } end
local from = tonumber(ARGV[3])
local ids = redis.call('ZRANGE', KEYS[1], from, from + PAGE - 1)
local found = first_awaited(redis.call('ZRANGE', KEYS[2], 0, -1)) or first_awaited(ids)
if found then return { 1, found } end
return { 0, #ids < PAGE and -1 or from + PAGE }
