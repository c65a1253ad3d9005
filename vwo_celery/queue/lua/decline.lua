-- decline.lua: note that its own configuration keeps a worker from a queue; tell which workers decline it.
-- KEYS[1]  declined  HASH  worker -> since ms:until ms:why
-- ARGV[1]  the worker
-- ARGV[2]  how long the note counts, ms
-- ARGV[3]  why, shown to operators
-- Returns  the names of the workers whose note counts now.
-- Cost     O(n), n = workers that declined it lately.
--@include clock
redis.call('HDEL', KEYS[1], '') -- allowed when out of memory, as are all writes after it
local now, notes = now_ms(), redis.call('HGETALL', KEYS[1])
local since, names = string.format('%d', now), { ARGV[1] }
for i = 1, #notes, 2 do
  local noted, ends = string.match(notes[i + 1], '^(%d+):(%d+):')
  local counts = ends and tonumber(ends) > now
  if counts and notes[i] == ARGV[1] then
    since = noted
  elseif counts then
    names[#names + 1] = notes[i]
  else
    redis.call('HDEL', KEYS[1], notes[i])
  end
end
redis.call('HSET', KEYS[1], ARGV[1], since .. ':' .. string.format('%d', now + ARGV[2]) .. ':' .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return names
