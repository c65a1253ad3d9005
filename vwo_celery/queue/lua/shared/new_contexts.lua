-- shared/new_contexts.lua: keep the trace contexts of events that were just pushed to the open list.
-- It comes after shared/contexts.lua, which says what is kept.

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
  local length = redis.pcall('RPUSH', traces, unpack(lines))
  if type(length) == 'table' then return end
  -- Now and then is enough for the rest, and a call that waits is spared it: a list is seldom open for a day.
  local is_long = length >= 2 * MOST_CONTEXTS
  if is_long then redis.pcall('LTRIM', traces, 0 - MOST_CONTEXTS, -1) end
  if (is_long or length == #lines) and not is_let_expire(traces) then redis.pcall('UNLINK', traces) end
end
