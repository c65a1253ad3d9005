"""Bugs in `delivering/`."""

from __future__ import annotations

from bugs.bug import Bug

_INTERRUPTIONS = "integration/delivering/test_interruptions.py"
_OUTAGES = "integration/delivering/test_outages.py"
_SEARCHES = "integration/delivering/test_searches.py"
_LARGE = "integration/delivering/test_too_large.py"
_REFUSED = "integration/delivering/test_refused.py"
_DECLINING = "integration/delivering/test_declining.py"
_SUCCESSION = "integration/delivering/test_succession.py"

BUGS = (
    Bug(
        "a batch is handed back at a soft time limit",
        "an attempt is counted", "delivering/attempts.py",
        " or attempt.worker.is_interruption(exc)", "",
        f"{_INTERRUPTIONS} -k interrupted",
    ),
    Bug(
        "a pause and a hold reach the batch's own shard",
        "they reach the counted shards only", "delivering/attempts.py",
        "{*range(self.registration.shards), self.lease.shard.number}",
        "set(range(self.registration.shards))",
        "integration/delivering/test_shards.py -k shard_of_its_batch",
    ),
    Bug(
        "each request is counted by its answer",
        "only those that VWO answered", "delivering/attempts.py",
        "    if answer.failure not in UNSENT:\n", "    if answer.status is not None:\n",
        "integration/delivering/test_tally.py -k vwo_saw",
    ),
    Bug(
        "a lease does not end within a POST",
        "it counts from after the call for help", "delivering/attempts.py",
        "    passed = attempt.worker.clock() - lease.renewed_at\n", "    passed = 0\n",
        f"{_INTERRUPTIONS} -k call_for_help",
    ),
    Bug(
        "what died is never left out of the log",
        "it is bounded as what is delivered", "delivering/batch_log.py",
        '_BOUNDED: Final = ("delivered", "released")', "_BOUNDED: Final = tuple(OUTCOMES.values())",
        "unit/test_batch_log.py -k never_left_out",
    ),
    Bug(
        "a line of the log tells any text unchanged",
        "texts with a space are left as they are", "delivering/batch_log.py",
        "any(sign in text for sign in ' ", "any(sign in text for sign in '",
        "unit/test_batch_log.py -k unchanged",
    ),
    Bug(
        "if VWO refuses all events, none is dead-lettered",
        "refused single events are",
        "delivering/bisection.py",
        "return self.finished and not self.accepted", "return False",
        f"{_REFUSED} -k malformed_events",
    ),
    Bug(
        "a wrong account costs few requests",
        "a search has no limit", "delivering/bisection.py",
        "while found.undecided and (found.accepted or refusals < most_refusals):",
        "while found.undecided:",
        f"{_REFUSED} -k malformed_events",
    ),
    Bug(
        "what a worker's own settings forbid, it leaves to others",
        "it claims it", "delivering/claims.py",
        "        if worker.declining.leaves(registration, shard, self._token):", "        if False:",
        f"{_DECLINING} -k wakeup_for_another_host",
    ),
    Bug(
        "no batch is leased while a receiver runs",
        "it is claimed with the ack before", "delivering/claims.py",
        "            and not is_heard(registration)\n", "",
        f"{_SUCCESSION} -k while_a_receiver_runs",
    ),
    Bug(
        "an ack waits for nothing",
        "it waits for a look at others", "delivering/claims.py",
        "            and self._turn.goes_on()\n", "            and not self._turn.is_over()\n",
        f"{_SUCCESSION} -k look_at_others",
    ),
    Bug(
        "a stopping worker hands its batch back",
        "not the one that it has not begun", "delivering/claims.py",
        "                lease.hand_back()\n", "                pass\n",
        f"{_SUCCESSION} -k told_to_stop",
    ),
    Bug(
        "a stopping worker hands its batch back",
        "the one claimed with an ack is not among its own", "delivering/claims.py",
        "            worker.leases.keep(following)\n", "",
        f"{_SUCCESSION} -k process_own",
    ),
    Bug(
        "a stopping worker claims no more",
        "it goes on claiming", "delivering/claims.py",
        "        if self._worker.stopping():\n            return None\n", "",
        f"{_INTERRUPTIONS} -k stopping_worker",
    ),
    Bug(
        "what a worker's own settings forbid, it leaves to others",
        "it holds the queue although another worker may send", "delivering/declining.py",
        "answer = bool({*self._fleet.listeners()} - {*declining, self._name})", "answer = False",
        f"{_DECLINING} -k wakeup_for_another_host",
    ),
    Bug(
        "a declined wake-up does not go round and round",
        "each is passed on at once", "delivering/declining.py",
        "        if now < last.until:\n", "        if False:\n",
        f"{_DECLINING} -k wakeup_for_another_host",
    ),
    Bug(
        "a declined wake-up does not go round and round",
        "each second, although nobody takes it up", "delivering/declining.py",
        "        if batch and batch == last.batch:\n", "        if False:\n",
        f"{_DECLINING} -k ever_more_seldom",
    ),
    Bug(
        "what another program pushes into a batch costs none of its events",
        "the batch is sent as it is counted", "delivering/delivery.py",
        "    if len(encoded) > attempt.batch.events:\n", "    if False:\n",
        "integration/delivering/test_missing_events.py -k another_program",
    ),
    Bug(
        "a worker's own way that fails costs no attempt",
        "it counts as an outage", "delivering/delivery.py",
        "    if attempt.worker.declining.hands_back(attempt.registration, outcome):\n"
        "        attempt.lease.hand_back()\n        return []\n", "",
        f"{_DECLINING} -k way_of_its_own",
    ),
    Bug(
        "a stopping worker hands its batch back",
        "the lease has to expire", "delivering/delivery.py",
        "        attempt.lease.hand_back()\n        raise\n", "        raise\n",
        f"{_INTERRUPTIONS} -k interrupted_batch",
    ),
    Bug(
        "a stopping worker hands its batch back",
        "not while it calls for help", "delivering/delivery.py",
        "            with worker.leases.holding(claimed.lease), recorded(attempt) as span:\n",
        "            batch = claimed.lease.batch\n"
        "            worker.wake_all(claimed.lease.shard, batch.help_token, batch.wakeups)\n"
        "            with worker.leases.holding(claimed.lease), recorded(attempt) as span:\n",
        f"{_INTERRUPTIONS} -k call_for_help",
    ),
    Bug(
        "an unexpected error costs an attempt, not a lease",
        "the batch stays leased",
        "delivering/delivery.py",
        "    except Exception as exc:\n        release_after(attempt, exc)\n", "    except Exception:\n",
        f"{_INTERRUPTIONS} -k try_that_raises",
    ),
    Bug(
        "an exception that the Redis client does not document costs an attempt, not a lease",
        "the batch stays leased",
        "delivering/delivery.py",
        "            release_after(attempt, exc)\n        raise  # else",
        "            pass\n        raise  # else",
        f"{_INTERRUPTIONS} -k client_that_errs",
    ),
    Bug(
        "after a probe that ends early another may start",
        "its permission has to expire",
        "delivering/delivery.py",
        "    finally:\n        end_probe(attempt)\n", "",
        f"{_INTERRUPTIONS} -k probe_that_is_interrupted",
    ),
    Bug(
        "a task that gives way asks for its next turn",
        "it just ends", "delivering/delivery.py",
        "        worker.wake_all(shard, *shard.next_turn())\n", "        pass\n",
        "integration/delivering/test_turns.py -k place_of_its_own",
    ),
    Bug(
        "no single request leaves under an account that it does not name",
        "nobody looks", "delivering/delivery.py",
        " or _misfits(attempt, encoded)", "",
        "integration/delivering/test_singles.py -k another_programs",
    ),
    Bug(
        "a late worker cannot settle a batch that was handed back",
        "it can", "delivering/leases.py",
        "            self.handed_back = True\n", "",
        f"{_INTERRUPTIONS} -k late_thread",
    ),
    Bug(
        "an acceptance always counts",
        "it is ignored after a hand-back", "delivering/leases.py",
        "            return self.shard.ack(self.batch.id, ",
        "            return not self.handed_back and self.shard.ack(self.batch.id, ",
        f"{_INTERRUPTIONS} -k late_acceptance",
    ),
    Bug(
        "requests of a batch that was handed back are counted once",
        "an ack that follows counts them again", "delivering/leases.py",
        "            self._counts = NOTHING  # an ack may follow\n", "",
        "integration/delivering/test_tally.py -k own_way",
    ),
    Bug(
        "all workers learn which size passed",
        "it is not stored", "delivering/oversize.py",
        "        settling.remember(attempt, passed)\n        return refusals", "        return refusals",
        f"{_LARGE} -k what_passed_is_remembered",
    ),
    Bug(
        "413 to everything dead-letters nothing and leaves no small batches",
        "the batch is halved", "delivering/oversize.py",
        "    if found.all_refused:\n        return refusals.hold_back(attempt, encoded, outcome)\n",
        "    if found.all_refused:\n        half = len(encoded) // 2\n"
        "        return settling.split_in_two(attempt, encoded, half, error='', outcome=outcome)\n",
        f"{_LARGE} -k everything_costs",
    ),
    Bug(
        "a small event is never too large",
        "it is dead-lettered once another batch passed", "delivering/oversize.py",
        "if batch.bytes > max(SMALL_EVENT_BYTES, _largest_bytes(batch.passed)):", "if True:",
        f"{_LARGE} -k small_event",
    ),
    Bug(
        "a large event is dead-lettered only once others pass",
        "it is at its first refusal", "delivering/oversize.py",
        "    if not refusals.passed_since(attempt):\n", "    if False:\n",
        f"{_LARGE} -k waits_for_a_proof",
    ),
    Bug(
        "a wrong key costs a handful of requests",
        "its probes are those of an outage", "delivering/probing.py",
        "        return refusal_waits(settings, key=outcome.long_wait)\n",
        "        return outage_waits(settings)\n",
        f"{_REFUSED} -k handful_of_requests",
    ),
    Bug(
        "an outage costs only probes",
        "shards are not held", "delivering/probing.py",
        "    attempt.at_each_shard(lambda shard: shard.hold(until_ms, by=by, why=error))\n", "",
        f"{_OUTAGES} -k outage_costs_probes",
    ),
    Bug(
        "after a 400 only the events to blame are dead-lettered",
        "the whole batch is", "delivering/refusals.py",
        "    found = _search(attempt, encoded, ",
        "    return settling.dead_letter(attempt, encoded, outcome.error or '', outcome)\n"
        "    found = _search(attempt, encoded, ",
        f"{_SEARCHES} -k only_the_poison",
    ),
    Bug(
        "events that a search has delivered are not sent again",
        "they become ready again",
        "delivering/refusals.py",
        "ranges = tuple(sorted(found.undecided))",
        "ranges = tuple(sorted([*found.undecided, *found.accepted]))",
        f"{_SEARCHES} -k search_that_an_outage",
    ),
    Bug(
        "before its first delivery a queue dead-letters nothing",
        "its first 400 starts a search",
        "delivering/refusals.py",
        "else hold the batch back.\"\"\"\n    if not has_delivered(attempt):\n"
        "        return settling.pause(attempt, encoded, outcome)\n",
        "else hold the batch back.\"\"\"\n",
        f"{_SEARCHES} -k before_the_first_success",
    ),
    Bug(
        "a refused batch is dead-lettered only once others pass",
        "it is at its second refusal",
        "delivering/refusals.py",
        "return 0 < before_ms <= _acceptances(attempt).proof_ms", "return 0 < before_ms",
        f"{_REFUSED} -k in_flight_at_the_refusal",
    ),
    Bug(
        "only what was claimed after a refusal proves a batch guilty",
        "the time of the answer counts",
        "delivering/refusals.py",
        "return 0 < before_ms <= _acceptances(attempt).proof_ms",
        "return 0 < before_ms <= _acceptances(attempt).delivered_ms",
        f"{_REFUSED} -k in_flight_at_the_refusal",
    ),
    Bug(
        "a batch of nothing but bad events does not stop its queue for ever",
        "it is never dead-lettered", "delivering/refusals.py",
        "    if proven:\n        return settling.dead_letter",
        "    if False:\n        return settling.dead_letter",
        f"{_REFUSED} -k malformed_events",
    ),
    Bug(
        "a wrong account costs few requests",
        "each probe searches", "delivering/refusals.py",
        "    if len(encoded) == 1 or not (proven or _may_search(attempt)):\n",
        "    if len(encoded) == 1:\n",
        f"{_REFUSED} -k one_probe_is_one_request",
    ),
    Bug(
        "a passing refusal heals without a person",
        "the queue is paused", "delivering/refusals.py",
        "    return hold_back(attempt, encoded, outcome)\n\n\ndef find_fault",
        "    return settling.pause(attempt, encoded, outcome)\n\n\ndef find_fault",
        f"{_REFUSED} -k passing_answer",
    ),
    Bug(
        "a refusal after a restart of an empty Redis heals without a person",
        "the worker forgets what it delivered", "delivering/refusals.py",
        "destination.queue in worker.proven or ", "",
        f"{_REFUSED} -k came_back_empty",
    ),
    Bug(
        "a deploy with another SDK makes no new key",
        "other queues of the key do not count", "delivering/refusals.py",
        "if queue != destination.queue and ", "if False and ",
        f"{_REFUSED} -k another_release_of_an_sdk",
    ),
    Bug(
        "a batch is acked only if VWO accepted it",
        "a release acks it",
        "delivering/settling.py",
        "    if not attempt.lease.release(delay_seconds=delay, error=error):\n",
        "    if not attempt.lease.ack():\n",
        f"{_OUTAGES} -k backlog_leaves",
    ),
    Bug(
        "a 413 splits the batch",
        "half of it is thrown away", "delivering/settling.py",
        "bounds = ((0, count), (count, len(encoded)))",
        "bounds = ((0, count),)",
        f"{_LARGE} -k too_large_is_halved",
    ),
    Bug(
        "what somebody deleted is counted as vanished",
        "a worker makes an empty dead letter of it", "delivering/settling.py",
        "    if not encoded and attempt.lease.vanish():", "    if False:",
        "integration/delivering/test_missing_events.py -k somebody_deleted",
    ),
    Bug(
        "dead letters are bounded",
        "they are not", "delivering/settling.py",
        "capacity.trim_dead(attempt.shards, attempt.worker.settings.max_dead_events)", "pass",
        f"{_SEARCHES} -k dead_letters_are_bounded",
    ),
    Bug(
        "a batch that VWO refuses rests, whatever becomes of the pause",
        "it is due again at once", "delivering/settling.py",
        "attempt.lease.release(delay_seconds=rest, error=error)",
        "attempt.lease.release(delay_seconds=0, error=error)",
        "integration/delivering/test_shards.py -k ask_again_at_once",
    ),
    Bug(
        "full batches leave again within minutes after a limit was lifted",
        "the size never grows", "delivering/sizes.py",
        "_GROWTH = 2", "_GROWTH = 1",
        f"{_LARGE} -k lifted_limit",
    ),
    Bug(
        "a limit that stays is met seldom",
        "a larger batch is tried each time", "delivering/sizes.py",
        "    if passed.refusals == 0:\n        return False\n", "    if passed:\n        return False\n",
        f"{_LARGE} -k before_its_time",
    ),
    Bug(
        "the end of an outage is told",
        "only a probe's is", "delivering/troubles.py",
        "attempt.batch.attempt > 1 and not attempt.probe", "attempt.probe",
        "integration/delivering/test_told.py -k single_failure",
    ),
    Bug(
        "a task gives way to others",
        "it does not look", "delivering/turns.py",
        "        return self._others_wait()\n", "        return False\n",
        "integration/delivering/test_turns.py -k gives_way",
    ),
)  # fmt: skip
