"""Bugs in `queue/lua/`: in the scripts of what a queue or the fleet keeps beside its batches."""

from __future__ import annotations

from bugs.bug import Bug

_OUTAGES = "integration/delivering/test_outages.py"
_REFUSED = "integration/delivering/test_refused.py"

BUGS = (
    Bug(
        "a shard that holds something is not forgotten",
        "it is", "queue/lua/forget.lua",
        "> 0 then return answer(0) end", "> 9 then return answer(0) end",
        "lua/test_forget.py -k holds_something",
    ),
    Bug(
        "a resume ends the wait of a stopped queue",
        "its released batches go on waiting", "queue/lua/free.lua",
        "if ARGV[2] == '1' then", "if false then",
        "lua/test_stop.py -k due_once_an_operator",
    ),
    Bug(
        "a look reads no batches", "it reads all that are ready", "queue/lua/glance.lua",
        "'ZRANGE', KEYS[3], 0, FEW,", "'ZRANGE', KEYS[3], 0, -1,",
        "integration/queue/test_glances.py -k grow",
    ),
    Bug(
        "a look at a shard without batches is short", "it reads as much as of others",
        "queue/lua/glance.lua",
        "KEYS[9], KEYS[10]) == 0 then", "KEYS[9], KEYS[10]) < 0 then",
        "integration/queue/test_glances.py -k four_commands",
    ),
    Bug(
        "junk among the workers that listen does not begin their listening anew",
        "no stall is ever found", "queue/lua/listen.lua",
        "KEYS[1], soon, 0,", "KEYS[1], '+inf', 0,",
        "lua/test_listen.py -k anew",
    ),
    Bug(
        "the circuit closes after an acceptance",
        "it stays open", "queue/lua/mend.lua",
        "local now = now_ms()\nredis.call('DEL', KEYS[1])", "local now = now_ms()",
        f"{_OUTAGES} -k backlog_leaves",
    ),
    Bug(
        "one probe at a time",
        "every worker that asks may send one", "queue/lua/permit.lua",
        "math.max(believed(c[1], c[3]), believed(c[2], c[4]))", "believed(c[1], c[3])",
        f"{_OUTAGES} -k one_probe_at_a_time",
    ),
    Bug(
        "a worker of other settings shortens no wait",
        "it takes the circuit's wait for a step of the clock", "queue/lua/permit.lua",
        "local LONGEST_MS = 86460000", "local LONGEST_MS = 65000",
        f"{_OUTAGES} -k other_settings",
    ),
    Bug(
        "a copy of settings is used for a week",
        "it is used for ever", "queue/lua/recall.lua",
        "if copy and now - copy.at >= tonumber(ARGV[3]) then copy = nil end\n",
        "",
        "lua/test_copies.py -k week",
    ),
    Bug(
        "a copy of settings is fetched by one",
        "whoever finds it due fetches it", "queue/lua/recall.lua",
        "lease and 1 or 0",
        "1",
        "lua/test_copies.py -k by_one",
    ),
    Bug(
        "queries without end do not fill Redis",
        "copies have no bound", "queue/lua/remember.lua",
        "local is_full = not copies[name] and count >= tonumber(ARGV[6])",
        "local is_full = false",
        "lua/test_copies.py -k bounded",
    ),
    Bug(
        "what was fetched before a pull does not hide it",
        "it counts as fresh", "queue/lua/remember.lua",
        "  elseif began > 0 and began < news then\n",
        "  elseif false then\n",
        "lua/test_copies.py -k before_a_pull",
    ),
    Bug(
        "a pull makes all other copies due",
        "they stay fresh", "queue/lua/remember.lua",
        "    for _, copy in pairs(copies) do copy.due = 0 end\n",
        "",
        "lua/test_copies.py -k pull_makes",
    ),
    Bug(
        "90 days of a queue's history take 400 KiB at most",
        "coarse samples keep ages, too", "queue/lua/sample.lua",
        "if ARGV[3 * i - 12] == '1' then", "if true then",
        "lua/test_sample.py -k 'they_stand or ninety'",
    ),
    Bug(
        "a worker of other settings shortens no wait",
        "its sweep takes a long delay for a step of the clock", "queue/lua/shared/notes.lua",
        "local LONGEST_MS = 86460000", "local LONGEST_MS = 65000",
        f"{_OUTAGES} -k other_settings",
    ),
    Bug(
        "an operator's pause and VWO's refusal are both told",
        "the second one replaces the first", "queue/lua/stop.lua",
        "  stem, answer = 'paused_also', 2\n", "  answer = 2\n",
        "integration/operating/test_operations.py -k both_told",
    ),
    Bug(
        "the pause of an operator stays the first one's",
        "the next one takes it over", "queue/lua/stop.lua",
        "if not is_new and ARGV[4] == 'operator' and", "if false and",
        "integration/operating/test_operations.py -k apart",
    ),
    Bug(
        "since when VWO does not accept is the fleet's",
        "each telling begins anew", "queue/lua/tell.lua",
        "return { tonumber(c[1]), now }", "return { now, now }",
        "integration/delivering/test_told.py -k fleets_since",
    ),
    Bug(
        "one worker of the fleet tells of an outage",
        "every attempt that fails does", "queue/lua/tell.lua",
        "if c[3] and c[4] == open and passed >= 0", "if false and passed >= 0",
        "lua/test_circuit.py -k told_when_it_begins",
    ),
    Bug(
        "one batch that is refused again and again stops no other",
        "each of its refusals counts", "queue/lua/trip.lua",
        "    failures = failures - 1\n", "    failures = failures + 0\n",
        f"{_REFUSED} -k one_refused_batch",
    ),
    Bug(
        "an outage costs only probes",
        "the circuit never opens", "queue/lua/trip.lua",
        "if failures < tonumber(ARGV[1]) then return 0 end", "if true then return 0 end",
        f"{_OUTAGES} -k outage_costs_probes",
    ),
    Bug(
        "no attempt is made before Retry-After",
        "it is forgotten when the circuit opens", "queue/lua/trip.lua",
        ", tonumber(ARGV[4]))", ", 0)",
        f"{_OUTAGES} -k retry_after_holds",
    ),
    Bug(
        "only failures in a row open the circuit",
        "an acceptance in between is ignored", "queue/lua/trip.lua",
        "if tonumber(ARGV[6]) > since then", "if false then",
        f"{_OUTAGES} -k mixed_answers",
    ),
    Bug(
        "a circuit that stays open is counted as opened once",
        "each failed probe counts", "queue/lua/trip.lua",
        "if not c[3] then tally(", "if true then tally(",
        "lua/test_tally.py -k opens_again",
    ),
    Bug(
        "a queue that somebody registers while it is forgotten stays listed",
        "its registration goes", "queue/lua/unlist.lua",
        "if text and string.sub(text, -#ARGV[2]) ~= ARGV[2] then return 0 end\n", "",
        "integration/operating/test_forget.py -k comes_meanwhile",
    ),
)  # fmt: skip
