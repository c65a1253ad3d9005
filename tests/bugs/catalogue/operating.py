"""Bugs in `operating/`."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "a line that was edited is not imported",
        "its digest is not compared", "operating/batches/dead_files.py",
        "    if line.sha256 != digest(line, events):\n", "    if not line.sha256:\n",
        "integration/operating/test_dead_files.py -k not_whole",
    ),
    Bug(
        "a filter is read back as it was written",
        "a quote is not escaped", "operating/batches/filters.py",
        """.replace('"', '\\\\"')""", "",
        "unit/test_filters.py -k read_back",
    ),
    Bug(
        "what a filter on events did not look at is told",
        "it counts as no match", "operating/batches/finding.py",
        "        self.not_looked_at += events - granted\n", "",
        "integration/operating/test_finding.py -k bounded",
    ),
    Bug(
        "a full disk removes nothing",
        "a file has its name before the disk has taken it", "operating/batches/new_files.py",
        "            self._file.flush()\n            os.fsync(",
        "            self._name_it()\n            self._file.flush()\n            os.fsync(",
        "integration/operating/test_dead_files.py -k full_disk",
    ),
    Bug(
        "no worker is one problem",
        "beat is called silent, too, though only workers can show it", "operating/doctor/__init__.py",
        'if listeners != [] or beat.state == "ok":', "if True:",
        "integration/operating/test_doctor.py -k no_worker",
    ),
    Bug(
        "a Redis that answers every look and refuses every event is found",
        "no write is tried", "operating/doctor/__init__.py",
        "if refused is not None and not is_denied(refused):", "if False:",
        "integration/connections/test_troubles.py -k memory",
    ),
    Bug(
        "status --json lists every queue", "no idle ones", "operating/documents/status.py",
        "return [_queue_status(view, shown) for view in shown.views]",
        "return [_queue_status(view, shown) for view in shown.views if not view.idle]",
        "integration/adapters/cli/test_status_queues_ledger.py -k idle_queues",
    ),
    Bug(
        "the queues that keep their names are the first that were registered",
        "those of the first names", "operating/looks/facts.py",
        "return not first.registered, first.begun_ms, queue.name",
        "return not first.registered, 0, queue.name",
        "integration/metrics/test_metrics.py -k told_as_one",
    ),
    Bug(
        "a key of a wrong type hides what is in it, and nothing else",
        "the look fails", "operating/looks/knowing.py",
        "if not is_wrong_type(exc):", "if True:",
        "integration/operating/test_wrong_types.py",
    ),
    Bug(
        "a key of a wrong type is named",
        "a part of Redis is said to be away", "operating/looks/knowing.py",
        "if each.key in keys:", "if False:",
        "integration/operating/test_wrong_types.py -k status",
    ),
    Bug(
        "an autoscaler learns the lanes that it needs without the set of watched shards",
        "it is told an error", "operating/looks/lanes.py",
        "watched = unless_wrong(fleet.watched, None)", "watched = fleet.watched()",
        "integration/operating/test_wrong_types.py -k needs_no",
    ),
    Bug(
        "what nobody has sealed yet wants a lane",
        "only sealed batches do", "operating/looks/lanes.py",
        "due = shard.due_batches + _unsealed_batches(shard)", "due = shard.due_batches",
        "integration/operating/test_lanes.py -k fleet_of_nobody",
    ),
    Bug(
        "a worker that sends is not scaled away",
        "busy lanes are not wanted", "operating/looks/lanes.py",
        "return max(busy, min(limits.parallel, busy + due))", "return min(limits.parallel, due)",
        "unit/deploy/test_scaling.py -k scaled_away",
    ),
    Bug(
        "of a queue whose circuit is open one lane is wanted",
        "all that is due", "operating/looks/lanes.py",
        "        due = min(due, 1)\n", "        due = min(due, 9)\n",
        "integration/operating/test_lanes.py -k sweep_wakes",
    ),
    Bug(
        "a loss is found in a ledger that is read in slices",
        "only the counters are looked at", "operating/looks/ledgers.py",
        "balanced=after.balanced and min(held) - moved <= stored <= max(held) + moved",
        "balanced=after.balanced",
        "integration/operating/test_ledgers.py -k loss",
    ),
    Bug(
        "a shadow's report finds events with other contents",
        "it compares numbers", "operating/looks/shadows.py",
        "bool(left.events) or not (left.low or left.high)", "True",
        "integration/adapters/test_shadow_report.py -k difference_is_found",
    ),
    Bug(
        "a worker that finds a backlog at its start is no stall",
        "the silence counts from the last task", "operating/looks/stalls.py",
        'began = max(last, signs_ms.get("listening", 0))', "began = last",
        "integration/operating/test_stall.py -k finds_a_backlog",
    ),
    Bug(
        "doctor warns of workers that differ",
        "settings are not compared", "operating/looks/workers.py",
        "    facts += [(name, list(_of(told, name))) for name in names]\n", "",
        "integration/operating/test_workers.py -k differ_by_name",
    ),
    Bug(
        "only what was counted is changed",
        "what died later is changed, too", "operating/operations/bulk.py",
        "return batch.died_ms <= self.until_ms", "return True",
        "integration/operating/test_bulk.py -k counted",
    ),
    Bug(
        "a signal ends bulk work after the batch",
        "nothing asks the brake", "operating/operations/bulk.py",
        "if self._brake.wait(self._delay_seconds()):", "if False:",
        "integration/operating/test_bulk.py -k rate",
    ),
    Bug(
        "a long redrive wakes the workers on its way",
        "it wakes them at its end", "operating/operations/dead_letters.py",
        "if self._waiting[place] > _WAKE_EVERY:", "if False:",
        "integration/operating/test_bulk.py -k last_batch",
    ),
    Bug(
        "an import beyond max_dead_events is refused",
        "workers drop the oldest for it", "operating/operations/filing.py",
        "        if kept + line.events > self._most_events:\n", "        if kept > 10**15:\n",
        "integration/operating/test_dead_files.py -k drop_others",
    ),
    Bug(
        "flush tells of the events that no worker can send",
        "nothing to send", "operating/operations/flushing.py",
        "    counts |= {view.queue: _untouched(view)", "    {view.queue: _untouched(view)",
        "integration/queue/test_unreadable_registrations.py -k each_command",
    ),
    Bug(
        "what is given up no worker begins",
        "it is only noted", "operating/operations/jobs.py",
        'if jobs.begin_job(fleet, job, "") is not None:', "if True:",
        "integration/adapters/test_background.py -k no_worker_begins",
    ),
    Bug(
        "of two orders of one form the older stays",
        "the other one, if it looks first", "operating/operations/jobs.py",
        "elif not is_older or not _repeats(", "elif not _repeats(",
        "integration/adapters/test_background.py -k the_older_stays",
    ),
    Bug(
        "a job stops when its worker does",
        "it goes on", "operating/operations/jobs.py",
        "if not self.why and self._stopping():", "if False:",
        "integration/adapters/test_background.py -k worker_stops",
    ),
    Bug(
        "no event goes to a destination that it contradicts",
        "only the plan looks", "operating/operations/moving.py",
        "        if found := contradiction_of(plan, events):\n", "        if found := \"\":\n",
        "integration/operating/test_move_refusals.py -k that_contradicts_stays",
    ),
    Bug(
        "each door does the same",
        "the API says that a job was not asked to stop", "operating/operations/stopping.py",
        "replace(found, stop_asked=True)", "found",
        "integration/console/test_each_door.py -k stop",
    ),
    Bug(
        "a purge drops what was counted, and nothing else",
        "what came later, too", "operating/operations/waiting.py",
        "waiting.drop_open(shard, left, ", "waiting.drop_open(shard, 10**9, ",
        "integration/adapters/test_waiting.py -k after_the_count",
    ),
    Bug(
        "whoever follows the audit waits for a Redis that is away",
        "it ends", "operating/past/audit.py",
        "            if not begun:\n                raise\n", "            raise\n",
        "integration/operating/test_audit.py -k over_an_outage",
    ),
    Bug(
        "a change that was killed is shown as unfinished",
        "it counts as done", "operating/past/audit.py",
        'entry.result if known else "unfinished"', 'entry.result if known else "ok"',
        "integration/operating/test_audit.py -k killed_change",
    ),
    Bug(
        "an entry that Redis refuses stops no change",
        "the change is not begun", "operating/past/audit.py",
        "if not (waits_for_redis or is_error_reply(exc.__cause__) or fleet.in_cluster):", "if True:",
        "integration/operating/test_audit.py -k refused_entry",
    ),
    Bug(
        "ages that fell are unknown, not negative",
        "only the other counters are looked at", "operating/past/history.py",
        "min(*grown.values(), *(ages or ()))", "min(grown.values())",
        "unit/test_history.py -k ages_that_fall",
    ),
)  # fmt: skip
