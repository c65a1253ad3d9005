-- shared/traces.lua: of which kind the trace of a batch that came is; see shared/arrivals.lua.
-- That of a move is kept until its old queue has forgotten the batch: it alone tells that the batch has come.
local LONGEST_IMPORT_TRACE_MS = 31 * 86400000

local function is_of_move(trace, now) return tonumber(trace) > now + LONGEST_IMPORT_TRACE_MS end
