-- shared/ranges.lua: copy ranges of a batch's events, counted from 0 for the oldest, to a list of their own.
local LARGEST_UNPACK, LONG = 1000, 64

-- A single long range does not pass through Lua.
local function copy_ranges(from_key, to_key, events, ranges)
  -- The head of a list is its newest event, so the newest range goes first.
  local first = ranges[1]
  if #ranges == 1 and first[2] - first[1] > LONG then
    redis.call('COPY', from_key, to_key)
    redis.call('LTRIM', to_key, events - first[2], events - 1 - first[1])
    return
  end
  for j = #ranges, 1, -1 do
    local from, to = events - ranges[j][2], events - 1 - ranges[j][1]
    for start = from, to, LARGEST_UNPACK do
      local some = redis.call('LRANGE', from_key, start, math.min(start + LARGEST_UNPACK - 1, to))
      redis.call('RPUSH', to_key, unpack(some))
    end
  end
end
