-- shared/notes.lua: ages of times stored in Redis, ms, that the sweep and the look before it go by.
-- Age from which a busy shard's note is renewed; and how far a note may lie ahead of the clock.
local BUSY_NOTE_MS, SLIP_MS = 10000, 1000
-- A minute more than the longest delay and lease that the settings allow.
local LONGEST_MS = 86460000
-- Time for which a push that more of its call follow keeps the list from leaving at its least number.
local FOLLOWED_MS = 2000

local function is_followed(followed_ms, now)
  local age = now - tonumber(followed_ms or 0)
  return age >= 0 and age < FOLLOWED_MS
end
