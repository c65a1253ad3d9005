-- shared/new_contexts.lua: keep the trace contexts of events that were just pushed to the open list.
-- It comes after shared/contexts.lua, which says what is kept.
local MOST_CONTEXTS = 128

local function keep_contexts(traces, first, contexts)
  local last = redis.pcall('LRANGE', traces, -1, -1)[1]
  local since, n = string.match(last or '', '^(%d+):(%d+):')
  if since ~= '' .. first then
    redis.pcall('UNLINK', traces)
    n = 0
  end
  local lines = {}
  for i = math.max(1, #contexts - MOST_CONTEXTS + 1), #contexts do
    lines[#lines + 1] = first .. ':' .. n + i .. ':' .. contexts[i]
  end
  redis.pcall('RPUSH', traces, unpack(lines))
  redis.pcall('LTRIM', traces, 0 - MOST_CONTEXTS, -1)
  redis.pcall('PEXPIRE', traces, CONTEXTS_KEPT_MS)
end
