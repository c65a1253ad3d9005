-- shared/contexts.lua: the trace contexts of events, beside the events, where OpenTelemetry records the calls.
-- traces: those of the open list's events, oldest first, each as first_ms:n:context, n counted from 1 for each
-- list. traced: batch id -> the last n, and the contexts, a line each.
-- first_ms is that of the list that they belong to: a release that knows nothing of them seals it without them.
-- All of it is best effort: no event waits for it, and nothing that Redis denies here stops a script. What
-- such a release leaves behind goes by and by, as others are added, and all of it a day after the last one.
local MOST_CONTEXTS, ABOUT_CHECKED = 128, 4

-- Take away a few contexts of batches that are gone: once in a script, since a small hash is scanned as a whole,
-- whatever COUNT says; and from another place of it each time, as the look at it goes no further than COUNT.
local has_checked = false
local function check_some(traced, info, first)
  if has_checked then return end
  has_checked = true
  local some = redis.pcall('HSCAN', traced, first % 65536, 'COUNT', ABOUT_CHECKED)[2] or {}
  local known = #some / 2
  for j = 1, math.min(ABOUT_CHECKED, known) do
    local id = some[2 * ((first + j) % known) + 1]
    if redis.pcall('HGET', info, id) == false then redis.pcall('HDEL', traced, id) end
  end
end

-- Give the batch that was made of an open list the contexts of that; `is_all` if nothing of the list is left.
local function hand_contexts_over(traces, traced, info, first, id, is_all)
  local kept = redis.pcall('LRANGE', traces, 0 - MOST_CONTEXTS, -1)
  if kept.err or #kept == 0 then return end
  local lines = { '0' }
  for _, each in ipairs(kept) do
    local since, n, context = string.match(each, '^(%d+):(%d+):(.*)$')
    if since == '' .. first then lines[1], lines[#lines + 1] = n, context end
  end
  if #lines > 1 then
    keep_contexts_of_batch(traced, id, table.concat(lines, '\n'))
    check_some(traced, info, first)
  end
  if is_all then redis.pcall('UNLINK', traces) end
end
