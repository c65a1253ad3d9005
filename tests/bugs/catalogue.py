"""The deliberate bugs, promise by promise; `make bugs` tries them all."""

from __future__ import annotations

from bugs.bug import Bug

_SETTLING = "integration/delivering/test_settling.py"
_SENTINEL = "integration/connections/test_sentinel.py"
_SHARED = "integration/connections/test_shared_clients.py"
_DECLINING = "integration/delivering/test_declining.py"

BUGS: tuple[Bug, ...] = (
    # -- an event that was acknowledged is delivered or visible
    Bug(
        "a batch is acked only if VWO accepted it",
        "a release acks it",
        "delivering/settling.py",
        "    if not attempt.lease.release(delay_seconds=delay, error=error):\n",
        "    if not attempt.lease.ack():\n",
        f"{_SETTLING} -k backlog_leaves",
    ),
    Bug(
        "a 413 splits the batch",
        "half of it is thrown away", "delivering/settling.py",
        "bounds = ((0, count), (count, len(encoded)))",
        "bounds = ((0, count),)",
        f"{_SETTLING} -k too_large_is_halved",
    ),
    Bug(
        "a command that Redis denies strands no batch",
        "the lease ends before the parts exist", "queue/lua/split.lua",
        "redis.call('ZREM', KEYS[3], '')", "redis.call('ZREM', KEYS[3], ARGV[1])",
        "lua/test_denied_commands.py -k split-COPY",
    ),
    Bug(
        "garbage in one queue's keys hides no other queue",
        "its view raises", "queue/snapshots.py",
        "            if _WRONG_TYPE not in str(exc):\n                raise\n", "            raise\n",
        "integration/queue/test_hostile_keys.py -k wrong_type",
    ),
    Bug(
        "a worker that lacks a right says so and ends",
        "what Redis denies counts as allowed", "queue/permissions.py",
        "        except ResponseError as exc:\n            text = str(exc)",
        "        except ResponseError as exc:\n            return\n            text = str(exc)",
        "integration/connections/test_permissions.py -k 'named and COPY'",
    ),
    Bug(
        "a stranded batch is found",
        "nobody looks for it", "queue/sweeping.py",
        "            stranded.restore(shard)\n", "            pass\n",
        "integration/queue/test_sweeping.py -k stranded_batch_is_found",
    ),
    Bug(
        "a command that Redis denies loses no event",
        "the mark says that a refused push is stored", "queue/lua/enqueue.lua",
        "  if denied then return forget_mark(denied) end\n  i =",
        "  if denied then return denied end\n  i =",
        "lua/test_denied_commands.py -k enqueue-LPUSH",
    ),
    Bug(
        "an unreadable line holds up its own batch only",
        "it makes every claim fail", "queue/lua/shared/info.lua",
        "    return nil, line\n", "",
        "lua/test_claim.py -k cannot_be_read",
    ),
    Bug(
        "a 413 splits the batch",
        "its parts are stored in the wrong order", "queue/lua/split.lua",
        "local from, to = batch.events - part.ranges[j][2], batch.events - 1 - part.ranges[j][1]",
        "local from, to = part.ranges[j][1], part.ranges[j][2] - 1",
        f"{_SETTLING} -k too_large_is_halved",
    ),
    Bug(
        "all workers learn which size passed",
        "it is not stored", "delivering/settling.py",
        "    attempt.at_each_shard(lambda shard: shard.note_passed(passed))",
        "    del passed",
        f"{_SETTLING} -k what_passed_is_remembered",
    ),
    Bug(
        "the size that passed grows again slowly",
        "it never grows", "delivering/sizes.py",
        "// DOUBLING_MS", "// DOUBLING_MS * 0",
        f"{_SETTLING} -k grows_slowly",
    ),
    Bug(
        "a flush counts delivered events only",
        "a batch that was split counts as delivered",
        "queue/flushing.py",
        "self.awaited |= settlements.parts_of(self.shard, gone)", "pass",
        f"{_SETTLING} -k flush_waits",
    ),
    Bug(
        "a flush counts delivered events only",
        "what is gone counts as delivered",
        "queue/flushing.py",
        "return self._noted + self._untold", "return self._noted + self._unaccounted",
        "integration/producing/test_producer_flush.py -k gone_is_not_taken",
    ),
    Bug(
        "a flush counts delivered events only",
        "dead letters that are dropped leave no note",
        "queue/lua/purge.lua",
        "note_outcome(KEYS[1], KEYS[5], ARGV[1], ARGV[2], batch.events)\n", "",
        "integration/producing/test_producer_flush.py -k gone_is_not_taken",
    ),
    Bug(
        "a flush counts delivered events only",
        "what a search found out counts as one with its batch",
        "queue/flushing.py",
        "self.dropped[note.outcome] += note.events", "self._noted += note.events",
        "integration/producing/test_producer_flush.py -k own_fate",
    ),
    Bug(
        "a refused event is counted once",
        "each try of the drainer counts it again",
        "spool/drain.py",
        "names, spooled=True)", "names)",
        "integration/spool/test_spool_policies.py -k counted_once",
    ),
    # -- a project's own apps, tasks and settings
    Bug(
        "our tasks run with the app that runs them",
        "they run with the thread's current app", "celery/tasks.py",
        "    worker = worker_of(self.app)\n    wakeup = ",
        "    from celery import current_app\n\n"
        "    worker = worker_of(current_app._get_current_object())\n    wakeup = ",
        "acceptance/test_projects.py -k 'app_that and threads'",
    ),
    Bug(
        "the app that a worker or beat starts is set up",
        "an app that gets the tasks is not noted", "celery/task.py",
        "        note_tasks(app)\n", "",
        "integration/adapters/test_setup.py -k app_that_starts",
    ),
    Bug(
        "a project's time limit cuts no POST off",
        "what it sets for all tasks reaches ours", "celery/task.py",
        "        for option in (*_OWN, *_STATED):\n", "        for option in ():\n",
        "integration/adapters/test_setup.py -k reach_ours",
    ),
    Bug(
        "a batch is handed back at a soft time limit",
        "an attempt is counted", "delivering/attempts.py",
        " or attempt.worker.is_interruption(exc)", "",
        f"{_SETTLING} -k interrupted",
    ),
    Bug(
        "our messages pass in any app",
        "they are JSON where the app accepts none", "celery/options.py",
        "    for name in (_SERIALIZER, str(app.conf.task_serializer), *accepted):",
        "    for name in (_SERIALIZER,):",
        "integration/adapters/test_setup.py -k any_app",
    ),
    Bug(
        "a message of another namespace is passed on",
        "its namespace is not looked at", "celery/misdirected.py",
        "return namespace is not None and ", "return False and ",
        "acceptance/test_projects.py -k namespaces",
    ),
    Bug(
        "few sweeps wait while no worker runs",
        "beat sends one at each interval", "queue/sweep_messages.py",
        "    if unanswered and 0 <= ", "    if False and 0 <= ",
        "integration/adapters/test_beat.py -k few_messages",
    ),
    Bug(
        "a sweep that comes late does nothing",
        "each is run", "queue/sweep_messages.py",
        "_RECENT_SHARE = 0.5", "_RECENT_SHARE = 0.0",
        "integration/adapters/test_beat.py -k comes_late",
    ),
    # -- 400
    Bug(
        "after a 400 only the events to blame are dead-lettered",
        "the whole batch is", "delivering/refusals.py",
        "    found = _search(attempt, encoded)\n",
        "    return settling.dead_letter(attempt, encoded, outcome.error or '', outcome)\n"
        "    found = _search(attempt, encoded)\n",
        f"{_SETTLING} -k only_the_poison",
    ),
    Bug(
        "events that a search has delivered are not sent again",
        "they become ready again",
        "delivering/refusals.py",
        "ranges = tuple(sorted(found.undecided))",
        "ranges = tuple(sorted([*found.undecided, *found.accepted]))",
        f"{_SETTLING} -k search_that_an_outage",
    ),
    Bug(
        "if VWO refuses all events, none is dead-lettered",
        "refused single events are",
        "delivering/bisection.py",
        "return self.finished and not self.accepted", "return False",
        f"{_SETTLING} -k everything_is_refused",
    ),
    Bug(
        "before its first delivery a queue dead-letters nothing",
        "its first 400 starts a search",
        "delivering/refusals.py",
        "    if not any(shard.delivered_ms() for shard in attempt.shards):\n"
        "        return settling.pause(attempt, encoded, outcome)\n",
        "",
        f"{_SETTLING} -k before_the_first_success",
    ),
    Bug(
        "a refused batch of one is dead-lettered only once others pass",
        "it is at its second refusal",
        "delivering/refusals.py",
        "if max(shard.delivered_ms() for shard in attempt.shards) > since:", "if True:",
        f"{_SETTLING} -k nothing_proves_guilty",
    ),
    Bug(
        "a refused batch of one does not block its queue",
        "it is never dead-lettered", "delivering/refusals.py",
        "if max(shard.delivered_ms() for shard in attempt.shards) > since:", "if False:",
        f"{_SETTLING} -k lone_poison",
    ),
    Bug(
        "a wrong account costs few requests",
        "a search has no limit", "delivering/bisection.py",
        "while found.undecided and (found.accepted or refusals < MOST_REFUSALS):",
        "while found.undecided:",
        f"{_SETTLING} -k everything_is_refused",
    ),
    Bug(
        "dead letters are bounded",
        "they are not", "delivering/settling.py",
        "capacity.trim_dead(attempt.shards, attempt.worker.settings.max_dead_events)", "pass",
        f"{_SETTLING} -k dead_letters_are_bounded",
    ),
    # -- shards
    Bug(
        "a shard that ever was a queue's is not forgotten",
        "the last registration decides how many there are", "queue/lua/register.lua",
        "math.max(tonumber(ARGV[3]), tonumber(noted) or 1, tonumber(before) or 1)",
        "tonumber(ARGV[3])",
        "integration/queue/test_shards_lowered.py -k dead_letters_of_all_shards",
    ),
    Bug(
        "a shard that ever was a queue's is not forgotten",
        "those of a release that kept no number are not looked for", "queue/registry.py",
        "    if not look:", "    if True:",
        "integration/queue/test_shards_lowered.py -k did_not_keep_the_number_are_found",
    ),
    Bug(
        "a flush covers every shard",
        "only those that its own process pushes to", "queue/flushing.py",
        "shards = fleet.all_shards(registration)",
        "shards = fleet.all_shards(registration)[: registration.shards]",
        "integration/queue/test_shards_lowered.py -k flush_covers",
    ),
    Bug(
        "a pause and a hold reach the batch's own shard",
        "they reach the counted shards only", "delivering/attempts.py",
        "{*range(self.registration.shards), self.lease.shard.number}",
        "set(range(self.registration.shards))",
        "integration/delivering/test_shards.py -k shard_of_its_batch",
    ),
    Bug(
        "a batch that VWO refuses rests, whatever becomes of the pause",
        "it is due again at once", "delivering/settling.py",
        "attempt.lease.release(delay_seconds=rest, error=error)",
        "attempt.lease.release(delay_seconds=0, error=error)",
        "integration/delivering/test_shards.py -k ask_again_at_once",
    ),
    # -- the circuit
    Bug(
        "an outage costs only probes",
        "the circuit never opens", "queue/lua/trip.lua",
        "if failures < tonumber(ARGV[1]) then return 0 end", "if true then return 0 end",
        f"{_SETTLING} -k outage_costs_probes",
    ),
    Bug(
        "an outage costs only probes",
        "shards are not held", "delivering/probing.py",
        "    for shard in attempt.shards:\n        shard.hold(until_ms)\n", "",
        f"{_SETTLING} -k outage_costs_probes",
    ),
    Bug(
        "one probe at a time",
        "every worker that asks may send one", "queue/lua/permit.lua",
        "math.max(believed(c[1], c[3]), believed(c[2], c[4]))", "believed(c[1], c[3])",
        f"{_SETTLING} -k one_probe_at_a_time",
    ),
    Bug(
        "the circuit closes after an acceptance",
        "it stays open", "queue/lua/mend.lua",
        "if ARGV[2] == '1' then return redis.call('DEL', KEYS[1]) end", "",
        f"{_SETTLING} -k backlog_leaves",
    ),
    Bug(
        "a worker of other settings shortens no wait",
        "its sweep takes a long delay for a step of the clock", "queue/lua/shared/notes.lua",
        "local LONGEST_MS = 86460000", "local LONGEST_MS = 65000",
        f"{_SETTLING} -k other_settings",
    ),
    Bug(
        "a worker of other settings shortens no wait",
        "it takes the circuit's wait for a step of the clock", "queue/lua/permit.lua",
        "local LONGEST_MS = 86460000", "local LONGEST_MS = 65000",
        f"{_SETTLING} -k other_settings",
    ),
    Bug(
        "after Redis' clock stepped back nothing stays hidden",
        "the step is not noticed", "queue/lua/sweep.lua",
        "if watched > now + SLIP_MS then undo_step_back() end", "",
        "lua/test_sweep.py -k stepped_back_is_noticed",
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
        "if tonumber(ARGV[6]) > since then failures, since = 1, now end", "",
        f"{_SETTLING} -k mixed_answers",
    ),
    # -- interruptions
    # -- workers differ
    Bug(
        "what a worker's own settings forbid, it leaves to others",
        "it claims it", "delivering/delivery.py",
        "        if worker.declining.leaves(registration, shard, token):\n            return attempts\n",
        "",
        f"{_DECLINING} -k wakeup_for_another_host",
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
        "if now - self._passed_on.get(name, -math.inf) < _PASS_ON_SECONDS:", "if False:",
        f"{_DECLINING} -k wakeup_for_another_host",
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
        f"{_SETTLING} -k interrupted_batch",
    ),
    Bug(
        "a stopping worker hands its batch back",
        "not while it calls for help", "delivering/delivery.py",
        "        with worker.leases.holding(shard, batch, asked) as lease:\n",
        "        for token in tokens(batch.help_token, batch.wakeups):\n"
        "            worker.wake(Wakeup(wakeup.queue, wakeup.shard, token))\n"
        "        with worker.leases.holding(shard, batch, asked) as lease:\n",
        f"{_SETTLING} -k call_for_help",
    ),
    Bug(
        "a lease does not end within a POST",
        "it counts from after the call for help", "delivering/attempts.py",
        "    passed = attempt.worker.clock() - lease.renewed_at\n", "    passed = 0\n",
        f"{_SETTLING} -k call_for_help",
    ),
    Bug(
        "a hand-back counts no attempt",
        "it counts one", "queue/lua/hand_back.lua",
        "batch.attempt = batch.attempt - 1\n", "",
        f"{_SETTLING} -k interrupted_batch",
    ),
    Bug(
        "a late worker cannot settle a batch that was handed back",
        "it can", "delivering/leases.py",
        "            self.handed_back = True\n", "",
        f"{_SETTLING} -k late_thread",
    ),
    Bug(
        "an acceptance always counts",
        "it is ignored after a hand-back", "delivering/leases.py",
        "            return self.shard.ack(self.batch.id)",
        "            return not self.handed_back and self.shard.ack(self.batch.id)",
        f"{_SETTLING} -k late_acceptance",
    ),
    Bug(
        "a stopping worker claims no more",
        "it goes on claiming", "delivering/delivery.py",
        " and not worker.stopping():", ":",
        f"{_SETTLING} -k stopping_worker",
    ),
    Bug(
        "an unexpected error costs an attempt, not a lease",
        "the batch stays leased",
        "delivering/delivery.py",
        "    except Exception as exc:\n        release_after(attempt, exc)\n", "    except Exception:\n",
        f"{_SETTLING} -k try_that_raises",
    ),
    Bug(
        "an exception that the Redis client does not document costs an attempt, not a lease",
        "the batch stays leased",
        "delivering/delivery.py",
        "            release_after(attempt, exc)\n        raise  # else",
        "            pass\n        raise  # else",
        f"{_SETTLING} -k client_that_errs",
    ),
    Bug(
        "no exception of a Redis client leaves enqueue",
        "one that redis-py does not document does", "producing/producer.py",
        "        except Exception as again:\n", "        except ConnectionError as again:\n",
        "integration/producing/test_producer_failures.py -k no_client_documents",
    ),
    Bug(
        "an ASK for a node that owns no slot yet is followed",
        "the node stays unknown", "connections/cluster.py",
        "    if node is None and node_name:", "    if node is None and not node_name:",
        "integration/connections/test_cluster.py -k worker_in_a_cluster_that_grows",
    ),
    Bug(
        "after a probe that ends early another may start",
        "its permission has to expire",
        "delivering/delivery.py",
        "    finally:\n        end_probe(attempt)\n", "",
        f"{_SETTLING} -k probe_that_is_interrupted",
    ),
    # -- many queues
    Bug(
        "task messages do not pile up behind busy lanes",
        "a slot is free again after some seconds", "queue/lua/sweep.lua",
        "local lost_by = math.min(now, tonumber(ARGV[4]) + tonumber(m[5]))",
        "local lost_by = now",
        "integration/queue/test_sweeping.py -k given_out_again",
    ),
    Bug(
        "a lost task message is made up for",
        "a slot is never free again without its task", "queue/lua/sweep.lua",
        "  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', lost_by)\n", "",
        "integration/queue/test_sweeping.py -k given_out_again",
    ),
    Bug(
        "if all task messages are lost, that is noticed",
        "nothing is sent to find out", "queue/sweeping.py",
        "    if overdue and not wakeups and probe_is_due(routes, now_ms):\n", "    if False:\n",
        "integration/queue/test_sweeping.py -k given_out_again",
    ),
    Bug(
        "a task gives way to others",
        "it does not look", "delivering/delivery.py",
        "        return self._others_wait()\n", "        return False\n",
        "integration/delivering/test_turns.py -k gives_way",
    ),
    Bug(
        "a task that gives way asks for its next turn",
        "it just ends", "delivering/delivery.py",
        "    _wake(worker, shard, *shard.next_turn())\n", "",
        "integration/delivering/test_turns.py -k place_of_its_own",
    ),
    Bug(
        "accounts at one host share its connections",
        "each sender has its own", "sending/sender.py",
        "                connections=self._connections,\n", "",
        "integration/sending/test_sender.py -k share_its_connection",
    ),
    # -- connections
    Bug(
        "the queues of a process share one client",
        "each opens its own", "producing/producer.py",
        "from vwo_celery.connections import shared_client\n",
        "from vwo_celery.connections import open_client as shared_client\n",
        f"{_SHARED} -k process_share_a_connection",
    ),
    Bug(
        "a refused connection opens no breaker while others work",
        "the call does not wait for them", "connections/pools.py",
        "            if not self._await_release(end):\n", "            if True:\n",
        f"{_SHARED} -k opens_no_breaker",
    ),
    Bug(
        "a connection that was refused hides none that works",
        "it is kept", "connections/pools.py",
        "connection._sock is not None and ", "",
        f"{_SHARED} -k opens_no_breaker",
    ),
    Bug(
        "in asyncio, too, calls wait for a connection that works",
        "they do not", "connections/async_pools.py",
        "not self._available_connections and not await self._await_release(end)", "True",
        f"{_SHARED} -k stops_no_asyncio_queue",
    ),
    Bug(
        "closing a queue leaves the others their connection",
        "it closes it", "connections/sharing.py",
        "return not self._users", "return True",
        f"{_SHARED} -k closing_a_queue",
    ),
    Bug(
        "a master that Sentinel has replaced is left at once",
        "its connections are kept", "connections/sentinels.py",
        "address is not None and address != self.proxy.master_address", "False",
        f"{_SENTINEL} -k planned_switch_over",
    ),
    Bug(
        "in asyncio, too, a master that Sentinel has replaced is left at once",
        "its connections are kept", "connections/async_pools.py",
        "address is not None and address != self.master_address", "False",
        f"{_SENTINEL} -k planned_switch_over",
    ),
    Bug(
        "while Sentinel elects, nothing is sent to the old master",
        "it is used until another is named", "connections/sentinels.py",
        "word.electing and electing_seconds < _LONGEST_ELECTION_SECONDS", "False",
        "unit/test_sentinels.py -k leaves_no_master",
    ),
    Bug(
        "a failover that does not end stops nobody",
        "the old master is left for ever", "connections/sentinels.py",
        "word.electing and electing_seconds < _LONGEST_ELECTION_SECONDS", "word.electing",
        "unit/test_sentinels.py -k without_end",
    ),
    Bug(
        "while Sentinel elects, nobody is told to start Redis",
        "everybody is", "operating/doctor/sentinel.py",
        "WAIT_FOR_SENTINEL if is_without_master(exc) else otherwise", "otherwise",
        f"{_SENTINEL} -k told_to_start_redis",
    ),
    Bug(
        "a sweep asks for many shards at once",
        "it asks for each", "queue/pipelining.py",
        "_CALLS = 250", "_CALLS = 1",
        "integration/queue/test_sweeping.py -k round_trips",
    ),
    Bug(
        "the look before a sweep leaves out no shard that is due",
        "it leaves out those whose wake-ups are lost", "queue/lua/due.lua",
        "  return late > 0 and redis.call(", "  return false and redis.call(",
        "lua/test_due.py -k need_a_sweep",
    ),
    Bug(
        "a push that could not be sent hides no loss",
        "its mark is given up", "producing/producer.py",
        "if not is_without_master(exc) or push.mark.in_doubt:", "if True:",
        f"{_SENTINEL} -k hides_no_loss",
    ),
)  # fmt: skip
