-- shared/mark.lua: how long a producer's mark is kept after a push, ms; the same as in marks.py.
-- Long enough for a push that is repeated after an outage. Few events, as of a process that lives for one
-- job, are kept in mind for less long.
local mark_ttl_ms = tonumber(ARGV[1]) < 100 and '3600000' or '86400000'
