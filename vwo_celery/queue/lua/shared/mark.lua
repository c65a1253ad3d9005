-- shared/mark.lua: time for which a producer's mark is kept after a push by enqueue.lua, ms; the same as in marks.py.
-- Long enough for a push that is repeated after an outage; shorter for a mark of few events, as of a process
-- that lives for one job.
local mark_number = tonumber(ARGV[1])
local mark_ttl_ms = mark_number < 100 and '3600000' or '86400000'
