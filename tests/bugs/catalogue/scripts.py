"""Bugs in `queue/lua/`: in the scripts that Redis runs."""

from __future__ import annotations

from bugs.bug import Bug

_SETTLING = "integration/delivering/test_settling.py"
_LARGE = "integration/delivering/test_too_large.py"
_REFUSED = "integration/delivering/test_refused.py"

BUGS = (
    Bug(
        "a look is as old as its oldest batch",
        "an accepted batch stays among the births", "queue/lua/ack.lua",
        "redis.call('ZREM', KEYS[8], ARGV[1])\n", "",
        "lua/test_ack.py",
    ),
    Bug(
        "a batch whose arrival was forgone does not arrive",
        "it counts as arrived", "queue/lua/arrive.lua",
        "return tonumber(trace) > 0 and 0 or -5 end", "return 0 end",
        "lua/test_arrive.py -k forgone",
    ),
    Bug(
        "a batch arrives once, also after its delivery",
        "its trace is not kept", "queue/lua/arrive.lua",
        "redis.call('ZADD', KEYS[7], now + ARGV[10], ARGV[1])\n", "",
        "lua/test_arrive.py -k once",
    ),
    Bug(
        "a purge drops what was counted, and nothing else",
        "what a worker holds, too", "queue/lua/drop.lua",
        "if lease and tonumber(lease) > now then return { 0, 0 } end\n", "",
        "lua/test_handling.py -k not_meant",
    ),
    Bug(
        "a purge drops what was counted, and nothing else",
        "events of other programs leave no trace", "queue/lua/drop_open.lua",
        "if length ~= open_events then", "if false then",
        "lua/test_handling.py -k foreign_open",
    ),
    Bug(
        "the look before a sweep leaves out no shard that is due",
        "it leaves out those whose wake-ups are lost", "queue/lua/due.lua",
        "  return late > 0 and redis.call(", "  return false and redis.call(",
        "lua/test_due.py -k need_a_sweep",
    ),
    Bug(
        "an event whose mark was evicted is not taken for lost",
        "it is", "queue/lua/enqueue.lua",
        "and has_evicted() then lost = 0 end", "and false then lost = 0 end",
        "lua/test_eviction.py -k no_loss",
    ),
    Bug(
        "a command that Redis denies loses no event",
        "the mark says that a refused push is stored", "queue/lua/enqueue.lua",
        "  if denied then return forget_mark(denied) end\n  i =",
        "  if denied then return denied end\n  i =",
        "lua/test_denied_commands.py -k enqueue-LPUSH",
    ),
    Bug(
        "clones do not take one another's pushes for repeats",
        "they do", "queue/lua/enqueue.lua",
        "if has_digits and differs then", "if false then",
        "integration/producing/test_clones.py -k singly-silent",
    ),
    Bug(
        "a shard that holds something is not forgotten",
        "it is", "queue/lua/forget.lua",
        "> 0 then return answer(0) end", "> 9 then return answer(0) end",
        "lua/test_forget.py -k holds_something",
    ),
    Bug(
        "a batch that has arrived is never put back",
        "its arrival is forgone all the same", "queue/lua/forgo.lua",
        "if trace and tonumber(trace) > 0 then return 0 end\n", "",
        "integration/operating/test_move.py -k 'killed and after and arrive_from_move'",
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
        "a hand-back counts no attempt",
        "it counts one", "queue/lua/hand_back.lua",
        "batch.attempt = batch.attempt - 1\n", "",
        f"{_SETTLING} -k interrupted_batch",
    ),
    Bug(
        "a producer of a queue that was forgotten finds its life",
        "the queue is told as lost by Redis", "queue/lua/limit.lua",
        "life = former or ARGV[2]", "life = ARGV[2]",
        "lua/test_forget.py -k finds_its_life",
    ),
    Bug(
        "the circuit closes after an acceptance",
        "it stays open", "queue/lua/mend.lua",
        "local now = now_ms()\nredis.call('DEL', KEYS[1])", "local now = now_ms()",
        f"{_SETTLING} -k backlog_leaves",
    ),
    Bug(
        "one probe at a time",
        "every worker that asks may send one", "queue/lua/permit.lua",
        "math.max(believed(c[1], c[3]), believed(c[2], c[4]))", "believed(c[1], c[3])",
        f"{_SETTLING} -k one_probe_at_a_time",
    ),
    Bug(
        "a worker of other settings shortens no wait",
        "it takes the circuit's wait for a step of the clock", "queue/lua/permit.lua",
        "local LONGEST_MS = 86460000", "local LONGEST_MS = 65000",
        f"{_SETTLING} -k other_settings",
    ),
    Bug(
        "what is left of a dead letter died when the whole did",
        "it died when events were picked out", "queue/lua/pick_out.lua",
        "redis.call('ZADD', KEYS[4], died,", "redis.call('ZADD', KEYS[4], now,",
        "lua/test_pick_out.py -k rest_stays_dead",
    ),
    Bug(
        "events are picked by the places that were shown",
        "also where events are gone", "queue/lua/pick_out.lua",
        "if missing ~= 0 then", "if missing > 9 then",
        "lua/test_pick_out.py -k missing",
    ),
    Bug(
        "a flush counts delivered events only",
        "dead letters that are dropped leave no note",
        "queue/lua/purge.lua",
        "note_outcome(noting, KEYS[5], ARGV[1], reason, batch.events, -1)\n", "",
        "integration/producing/test_producer_flush.py -k gone_is_not_taken",
    ),
    Bug(
        "what somebody deleted is counted as vanished",
        "its purge is booked as an operator's", "queue/lua/purge.lua",
        "local reason = was_there and ARGV[2] or 'vanished'", "local reason = ARGV[2]",
        "lua/test_handling.py -k drop_of_what_vanished",
    ),
    Bug(
        "what was removed after an import may be imported again",
        "its trace stays", "queue/lua/purge.lua",
        "redis.call('ZREM', KEYS[6], ARGV[1])\n", "",
        "integration/operating/test_dead_files.py -k come_and_go",
    ),
    Bug(
        "what somebody deleted is counted as vanished",
        "its redrive pretends", "queue/lua/redrive.lua",
        "if redis.call('EXISTS', KEYS[6]) == 0 then return -1 end\n", "",
        "integration/adapters/test_waiting.py -k events_are_gone",
    ),
    Bug(
        "a shard that ever was a queue's is not forgotten",
        "the last registration decides how many there are", "queue/lua/register.lua",
        "math.max(tonumber(ARGV[3]), tonumber(noted) or 1, tonumber(before) or 1)",
        "tonumber(ARGV[3])",
        "integration/queue/test_shards_lowered.py -k dead_letters_of_all_shards",
    ),
    Bug(
        "a report of dropped events whose answer was lost is counted once",
        "it is added again", "queue/lua/report.lua",
        "MARK_TTL_MS, 'NX')", "MARK_TTL_MS)",
        "lua/test_report.py -k counts_once",
    ),
    Bug(
        "what is in flight is not told as released",
        "a claim leaves its events there", "queue/lua/shared/indexes.lua",
        "'released_events', 0 - score % RELEASED_UNIT", "'released_events', 0",
        "integration/queue/test_glances.py -k claimed_is_in_flight",
    ),
    Bug(
        "an unreadable line holds up its own batch only",
        "it makes every claim fail", "queue/lua/shared/info.lua",
        "    return nil\n", "",
        "lua/test_claim.py -k cannot_be_read",
    ),
    Bug(
        "a worker of other settings shortens no wait",
        "its sweep takes a long delay for a step of the clock", "queue/lua/shared/notes.lua",
        "local LONGEST_MS = 86460000", "local LONGEST_MS = 65000",
        f"{_SETTLING} -k other_settings",
    ),
    Bug(
        "a 413 splits the batch",
        "its parts are stored in the wrong order", "queue/lua/shared/ranges.lua",
        "local from, to = events - ranges[j][2], events - 1 - ranges[j][1]",
        "local from, to = ranges[j][1], ranges[j][2] - 1",
        f"{_LARGE} -k too_large_is_halved",
    ),
    Bug(
        "a command that Redis denies strands no batch",
        "the lease ends before the parts exist", "queue/lua/split.lua",
        "redis.call('ZREM', KEYS[3], '')", "redis.call('ZREM', KEYS[3], ARGV[1])",
        "lua/test_denied_commands.py -k split-COPY",
    ),
    Bug(
        "a flush counts delivered events only",
        "the parts of a batch that is split are not awaited",
        "queue/lua/split.lua",
        "first = batch.first, sealed = batch.sealed", "first = batch.first, sealed = now",
        f"{_LARGE} -k flush_waits",
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
        "after Redis' clock stepped back nothing stays hidden",
        "the step is not noticed", "queue/lua/sweep.lua",
        "if watched > now + SLIP_MS then undo_step_back() end", "",
        "lua/test_sweep.py -k stepped_back_is_noticed",
    ),
    Bug(
        "a lost task message is made up for",
        "a slot is never free again without its task", "queue/lua/sweep.lua",
        "  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', lost_by)\n", "",
        "integration/queue/test_sweeping.py -k given_out_again",
    ),
    Bug(
        "after another program's LPUSH, the next sweep makes the list an ordinary one",
        "it stays mixed until it is empty", "queue/lua/sweep.lua",
        "if length > 0 and more == 0 then", "if false then",
        "lua/test_sweep.py -k is_ours_again",
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
        f"{_SETTLING} -k outage_costs_probes",
    ),
    Bug(
        "no attempt is made before Retry-After",
        "it is forgotten when the circuit opens", "queue/lua/trip.lua",
        ", tonumber(ARGV[4]))", ", 0)",
        f"{_SETTLING} -k retry_after_holds",
    ),
    Bug(
        "only failures in a row open the circuit",
        "an acceptance in between is ignored", "queue/lua/trip.lua",
        "if tonumber(ARGV[6]) > since then", "if false then",
        f"{_SETTLING} -k mixed_answers",
    ),
    Bug(
        "a queue that somebody registers while it is forgotten stays listed",
        "its registration goes", "queue/lua/unlist.lua",
        "if text and string.sub(text, -#ARGV[2]) ~= ARGV[2] then return 0 end\n", "",
        "integration/operating/test_forget.py -k comes_meanwhile",
    ),
)  # fmt: skip
