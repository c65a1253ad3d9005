-- forget.lua: delete all keys of a shard that holds nothing; the next enqueue registers it anew.
-- Its life is kept for a while, so that a producer which goes on finds the life that it knows: nothing was lost.
-- KEYS[1]   open     LIST    the list being filled
-- KEYS[2]   meta     HASH    limits and counters
-- KEYS[3]   former   STRING  its life, see limit.lua
-- KEYS[4]   tally    HASH    what processes told
-- KEYS[5]   arrived  ZSET    batch id -> time until which a move or import is remembered, Unix ms
-- KEYS[6]   ready    ZSET    batch id -> visible from, Unix ms
-- KEYS[7]   leases   ZSET    batch id -> lease expiry, Unix ms
-- KEYS[8]   info     HASH    batch id -> its line
-- KEYS[9]   dead     ZSET    batch id -> time of its dead-lettering, Unix ms
-- KEYS[10]  leaving  HASH    batches that a move takes away
-- KEYS[11+] others           what else belongs to the shard
-- ARGV[1]   time without use after which it may be forgotten, ms; -1 for none
-- ARGV[2]   1 to delete, 0 to look only
-- ARGV[3]   time for which its life is kept, ms
-- Returns   {code, accepted, delivered, dropped, refused, used_ms}; code 1 it is gone, or may go; 0 it holds
--           something; -1 a move is under way; -2 it was used lately. used_ms: time since its last use, -1 if unknown.
-- Cost      O(n), n = fields of its hashes and traces of imports.
--@include clock
--@include traces
local FIRST_OTHER = 11
local m, now, used = {}, now_ms(), 0
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do m[all[i]] = all[i + 1] end

local function number(field) return tonumber(m[field] or 0) or 0 end
local dropped = 0
for field in pairs(m) do
  if string.sub(field, 1, 8) == 'dropped:' then dropped = dropped + number(field) end
end
for _, field in ipairs({ 'first_ms', 'delivered_ms', 'arrived_ms', 'watched' }) do
  used = math.max(used, number(field))
end
local told = redis.call('HGETALL', KEYS[4])
for i = 1, #told, 2 do
  if string.sub(told[i], 1, 8) == 'last_ms:' then used = math.max(used, tonumber(told[i + 1]) or 0) end
end
local ago = used > 0 and math.max(0, now - used) or -1

local function answer(code)
  return { code, number('accepted'), number('delivered'), dropped, number('refused'), ago }
end

if redis.call('EXISTS', KEYS[1], KEYS[6], KEYS[7], KEYS[8], KEYS[9]) > 0 then return answer(0) end
local soon = string.format('(%d', now + LONGEST_IMPORT_TRACE_MS)
if redis.call('EXISTS', KEYS[10]) > 0 or redis.call('ZCOUNT', KEYS[5], soon, '+inf') > 0 then return answer(-1) end
local idle_ms = tonumber(ARGV[1])
local has_traces = redis.call('ZCOUNT', KEYS[5], string.format('(%d', now), '+inf') > 0
  or redis.call('ZCOUNT', KEYS[5], '-inf', string.format('(-%d', now)) > 0
if idle_ms >= 0 and (has_traces or ago >= 0 and ago < idle_ms) then return answer(-2) end
if ARGV[2] == '0' then return answer(1) end

redis.call('HDEL', KEYS[2], '') -- allowed when out of memory, as are all writes after it
if m['life'] then redis.call('SET', KEYS[3], m['life'], 'PX', ARGV[3]) end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[4], KEYS[5], unpack(KEYS, FIRST_OTHER))
return answer(1)
