"""Bugs in `queue/lua/`: in the scripts that move, split, settle and drop batches."""

from __future__ import annotations

from bugs.bug import Bug

_INTERRUPTIONS = "integration/delivering/test_interruptions.py"
_LARGE = "integration/delivering/test_too_large.py"

BUGS = (
    Bug(
        "a look is as old as its oldest batch",
        "an accepted batch stays among the births", "queue/lua/ack.lua",
        "in_index(redis.pcall('ZREM', KEYS[8], ARGV[1]))\n", "",
        "lua/test_ack.py",
    ),
    Bug(
        "a broken set of a look stops no batch",
        "an ack ends in its middle", "queue/lua/ack.lua",
        "in_index(redis.pcall('ZREM', KEYS[8], ARGV[1]))", "redis.call('ZREM', KEYS[8], ARGV[1])",
        "lua/test_broken_indexes.py",
    ),
    Bug(
        "what a worker counted is added up with the settling, and once",
        "a second ack adds it again", "queue/lua/ack.lua",
        "if not batch then return 0 end\n",
        "if not batch then tally_given(KEYS[10], 3) return 0 end\n",
        "lua/test_tally.py -k nothing_again",
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
        "trace contexts end with their batch, and go on with its parts",
        "a batch that moves loses them", "queue/lua/arrive.lua",
        "if ARGV[11] ~= '' then", "if false then",
        "lua/test_contexts_end.py -k moves",
    ),
    Bug(
        "each event is counted once beside scripts of 0.1.0",
        "not before a batch departs, which hides that it was", "queue/lua/depart.lua",
        "take_room_back(KEYS[1])", "",
        "lua/test_release_before.py -k hides_nothing",
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
        "a batch that has arrived is never put back",
        "its arrival is forgone all the same", "queue/lua/forgo.lua",
        "if trace and tonumber(trace) > 0 then return 0 end\n", "",
        "integration/operating/test_move_interruptions.py -k 'killed and after and arrive_from_move'",
    ),
    Bug(
        "a hand-back counts no attempt",
        "it counts one", "queue/lua/hand_back.lua",
        "batch.attempt = batch.attempt - 1\n", "",
        f"{_INTERRUPTIONS} -k interrupted_batch",
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
        "trace contexts end with their batch, and go on with its parts",
        "what is picked out has none", "queue/lua/pick_out.lua",
        "  if type(contexts) == 'string' then", "  if false then",
        "lua/test_contexts_end.py -k picked_out_keeps",
    ),
    Bug(
        "a flush counts delivered events only",
        "dead letters that are dropped leave no note",
        "queue/lua/purge.lua",
        "note_outcome(noting, KEYS[5], ARGV[1], reason, batch.events, -1)\n", "",
        "integration/producing/test_flush_counts.py -k gone_is_not_taken",
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
        "trace contexts end with their batch, and go on with its parts",
        "a purge leaves them", "queue/lua/purge.lua",
        "redis.pcall('HDEL', KEYS[7], ARGV[1])\n", "",
        "lua/test_contexts_end.py -k 'end_with and purge'",
    ),
    Bug(
        "what somebody deleted is counted as vanished",
        "its redrive pretends", "queue/lua/redrive.lua",
        "if redis.call('EXISTS', KEYS[6]) == 0 then return -1 end\n", "",
        "integration/adapters/test_waiting.py -k events_are_gone",
    ),
    Bug(
        "a broken set of a look stops no batch",
        "it ends each script that touches it", "queue/lua/shared/in_index.lua",
        "return (type(answer) ~= 'table' or not answer.err) and answer end",
        "if type(answer) == 'table' and answer.err then error(answer.err) end return answer end",
        "lua/test_broken_indexes.py",
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
        "a 413 splits the batch",
        "its parts are stored in the wrong order", "queue/lua/shared/ranges.lua",
        "local from, to = events - ranges[j][2], events - 1 - ranges[j][1]",
        "local from, to = ranges[j][1], ranges[j][2] - 1",
        f"{_LARGE} -k too_large_is_halved",
    ),
    Bug(
        "a tally that is no hash stops no settling",
        "it does", "queue/lua/shared/tally.lua",
        "redis.pcall('HINCRBY', key, ARGV[i],", "redis.call('HINCRBY', key, ARGV[i],",
        "lua/test_tally.py -k stops_nothing",
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
        "the parts of a split batch keep its contexts",
        "they have none", "queue/lua/split.lua",
        "if type(contexts) == 'string' then", "if false then",
        "lua/test_contexts_end.py -k parts_keep",
    ),
)  # fmt: skip
