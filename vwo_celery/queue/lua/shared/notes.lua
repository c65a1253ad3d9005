-- shared/notes.lua: ages of times stored in Redis, ms, that the sweep and the look before it go by.
-- Age from which a busy shard's note is renewed; and how far a note may lie ahead of the clock.
local BUSY_NOTE_MS, SLIP_MS = 10000, 1000
-- A minute more than the longest delay and lease that the settings allow.
local LONGEST_MS = 86460000
