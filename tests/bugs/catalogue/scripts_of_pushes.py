"""Bugs in `queue/lua/`: in the scripts that take pushes and seal batches, and in those that sweep."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "append opens no list",
        "it does, with the room of one that is gone", "queue/lua/append.lua",
        "redis.pcall('LPUSHX', ", "redis.pcall('LPUSH', ",
        "lua/test_append.py -k is_gone",
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
        "an upload leaves in as few requests as VWO takes",
        "each page of it leaves by itself", "queue/lua/enqueue.lua",
        "most > limit, ARGV[4] == '1'", "most > limit, false",
        "lua/test_enqueue_least_number.py -k pages_of_one_call",
    ),
    Bug(
        "all that waits leaves at the least number",
        "fewer than it are left behind a full batch", "queue/lua/enqueue.lua",
        "not more_follow and not mixed and open_events > 0 then",
        "not more_follow and not mixed and open_events >= limit then",
        "lua/test_enqueue_least_number.py -k all_that_is_open",
    ),
    Bug(
        "a push that fills a batch leaves its wake-ups in the same step",
        "its producer leaves them afterwards", "queue/lua/enqueue.lua",
        "if wakeups > 0 and ARGV[5] ~= '' then", "if false then",
        "integration/producing/test_notices.py -k waits_once",
    ),
    Bug(
        "a wake-up that a script may not leave is left by the producer",
        "nobody leaves it", "queue/lua/enqueue.lua",
        "if type(length) == 'table' then return number end",
        "if type(length) == 'table' then return 0 end",
        "lua/test_enqueue_notices.py -k 'left_to_the_caller and wakeups'",
    ),
    Bug(
        "the gate opens only for events that have room and the mark that the producer left",
        "it opens for any", "queue/lua/gate.lua",
        "if reserved then", "if true then",
        "lua/test_gate.py -k 'without_room or another_mark'",
    ),
    Bug(
        "what is no list is left alone", "it becomes the gate", "queue/lua/gate.lua",
        "local length = redis.pcall('LLEN', KEYS[1])", "local length = redis.call('EXISTS', KEYS[1])",
        "lua/test_gate.py -k no_list",
    ),
    Bug(
        "a gate opens only within a transaction",
        "it opens for a user who may not begin one", "queue/lua/gate.lua",
        "if not redis.acl_check_cmd or not redis.acl_check_cmd('MULTI') then return -1 end\n", "",
        "lua/test_gate.py -k outside",
    ),
    Bug(
        "a producer of a queue that was forgotten finds its life",
        "the queue is told as lost by Redis", "queue/lua/limit.lua",
        "life = former or ARGV[2]", "life = ARGV[2]",
        "lua/test_forget.py -k finds_its_life",
    ),
    Bug(
        "no batch is larger than the last registration wants",
        "a least number that nobody gives any more goes on", "queue/lua/limit.lua",
        "  if not given then redis.call('HDEL', KEYS[1], 'batch_events') end\n", "",
        "lua/test_limit.py -k not_given_any_more",
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
        "a shadow's call whose answer was lost is counted once",
        "it is counted again", "queue/lua/shadow.lua",
        "if call >= tonumber(ARGV[2]) then", "if false then",
        "lua/test_shadow.py -k repeated",
    ),
    Bug(
        "contexts lead to the calls of their own list",
        "those that an older release left go with the next list", "queue/lua/shared/contexts.lua",
        "if since == '' .. first then lines", "if since then lines",
        "lua/test_contexts.py -k release_before",
    ),
    Bug(
        "a batch keeps the contexts of its last 128 calls",
        "it keeps all of them", "queue/lua/shared/contexts.lua",
        "local MOST_CONTEXTS, ABOUT_CHECKED = 128, 4\n", "local MOST_CONTEXTS, ABOUT_CHECKED = 1280, 4\n",
        "lua/test_contexts.py -k last_128",
    ),
    Bug(
        "trace contexts never stay without a time at which they go",
        "where the user may not set one, they stay", "queue/lua/shared/kept_contexts.lua",
        "if not is_let_expire(traced) then", "if not is_let_expire(traced) and false then",
        "lua/test_denied_commands.py -k 'arrive-PEXPIRE'",
    ),
    Bug(
        "no event waits for trace contexts",
        "it fails where the user may not keep them", "queue/lua/shared/new_contexts.lua",
        "redis.pcall('RPUSH'", "redis.call('RPUSH'",
        "integration/tracing/test_traces_in_trouble.py -k without_the_rights",
    ),
    Bug(
        "a repeat is stored once",
        "append stores whatever its mark says", "queue/lua/shared/reserve.lua",
        "local reserved = fits and seen == ARGV[2]", "local reserved = fits",
        "lua/test_append.py -k 'repeat or clone'",
    ),
    Bug(
        "append ends where something unusual begins",
        "too few bytes borrow from the events", "queue/lua/shared/reserve.lua",
        " and left % 4294967296 < 2147483648", "",
        "lua/test_append.py -k borrow",
    ),
    Bug(
        "each event is counted once beside scripts of 0.1.0",
        "again after its sweep has counted it", "queue/lua/shared/taken.lua",
        "if granted_accepted ~= accepted and events ~= uncounted then return 0, 0 end\n", "",
        "lua/test_release_before.py -k not_counted_again",
    ),
    Bug(
        "append leaves nothing of what it refuses",
        "the room that it took", "queue/lua/shared/unreserve.lua",
        "redis.call('HINCRBY', KEYS[2], 'room', 0 - cost)", "redis.call('HINCRBY', KEYS[2], 'room', 0)",
        "lua/test_append.py -k 'borrow or last_byte'",
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
        "lua/test_sweep_foreign.py -k is_ours_again",
    ),
    Bug(
        "what a producer stored before it died leaves soon",
        "it waits for a full batch", "queue/lua/sweep.lua",
        "length >= limit and not is_followed(m[15], now)", "false",
        "lua/test_sweep.py -k rest_of_a_call",
    ),
)  # fmt: skip
