"""Bugs in `spool/`."""

from __future__ import annotations

from bugs.bug import Bug

_SPOOL = "integration/spool"

BUGS = (
    Bug(
        "a part of a Cluster that is away takes no event of another to the spool",
        "all parts share one breaker", "spool/breaker.py",
        "return self._parts.get(part) or self._parts.setdefault(part, Breaker())",
        "return self.common",
        "integration/connections/test_cluster_parts.py -k several_shards",
    ),
    Bug(
        "a call that interrupts a spool write starts a transaction of its own",
        "both share one, which neither can begin", "spool/database.py",
        "            self._end_interrupted()\n", "",
        "integration/producing/test_reentry.py -k 'event_is_spooled and steady'",
    ),
    Bug(
        "a write to the spool that was interrupted starts again",
        "what is left of it is written outside of a transaction", "spool/database.py",
        '            connection.execute("PRAGMA query_only = ON")', "            pass",
        "integration/producing/test_reentry.py -k 'event_is_spooled and steady'",
    ),
    Bug(
        "no event goes into a spool file that was deleted",
        "a transaction does not look for its file", "spool/database.py",
        "if writing and not self._is_there:", "if False:",
        f"{_SPOOL}/test_spool_file.py -k was_deleted",
    ),
    Bug(
        "no event goes into a spool file that was deleted",
        "one that is gone by the time it is open counts as there", "spool/database.py",
        "return self._inode != 0 and self._inode == _inode(self.path)",
        "return self._inode == _inode(self.path)",
        f"{_SPOOL}/test_spool_file.py -k while_it_was_opened",
    ),
    Bug(
        "an event that came since is not told as gone from the disk",
        "it is", "spool/diary.py",
        "        if not kept or kept != outage.kept:\n            return\n        with outage.lock:\n"
        "            if kept != outage.kept:\n                return\n",
        "        with outage.lock:\n",
        "integration/spool/test_diary.py -k came_since",
    ),
    Bug(
        "a refused event is counted once",
        "each try of the drainer counts it again",
        "spool/drain.py",
        "names, spooled=True, place", "names, place",
        "integration/spool/test_spool_policies.py -k counted_once",
    ),
    Bug(
        "many spools of a process are drained by few threads",
        "each has its own", "spool/drainer.py",
        "for n in range(MOST_THREADS) if", "for n in range(9_999) if",
        "integration/spool/test_spool_processes.py -k few_threads",
    ),
    Bug(
        "a process that enqueues while its interpreter ends does end",
        "it starts a drainer and waits for it", "spool/drainer.py",
        "if not is_finalizing() and place.take():", "if place.take():",
        "integration/producing/test_interpreter_end.py -k without_redis",
    ),
    Bug(
        "the same holds for pushes that went to a spool",
        "the spool forgets which clone's they are", "spool/fallback.py",
        "mark.life, mark.nonce)", "mark.life)",
        "integration/producing/test_clones.py -k drained",
    ),
    Bug(
        "a drain that stands still is taken over",
        "the lock of a drain never ends", "spool/locks.py",
        "unix_ms() // _PERIOD_MS", "0",
        f"{_SPOOL}/test_spool_frozen.py -k taken_over",
    ),
    Bug(
        "a request tells seldom of what its process dropped",
        "each one does", "spool/reporter.py",
        "= now + REPORT_EVERY_SECONDS", "= now",
        "integration/producing/test_unaccepted.py -k tells_seldom",
    ),
    Bug(
        "a process that ends has told what it dropped",
        "only a later call tells", "spool/reporter.py",
        "@atexit.register\n", "",
        "integration/producing/test_unaccepted.py -k as_it_ends",
    ),
    Bug(
        "a process that stands still in a write of the spool holds up no other",
        "a file that is kept locked is tried again", "spool/spool.py",
        "                self._leave(file)\n", "",
        f"{_SPOOL}/test_spool_policies.py -k kept_locked",
    ),
    Bug(
        "a drainer that was overtaken changes nothing",
        "it unmarks the page that another is sending", "spool/spool_file.py",
        "        if db.execute(_TAKEN_BY).fetchone() != (page.taking,):", "        if False:",
        f"{_SPOOL}/test_spool_pages.py -k overtaken",
    ),
    Bug(
        "a spool file stays within its limit",
        "contexts of traced calls are not counted", "spool/spool_file.py",
        " + contexts\n", "\n",
        "integration/spool/test_spool_traced.py -k count_as",
    ),
    Bug(
        "what uses the spool waits for a fork",
        "a child inherits SQLite's locks from a thread that its parent had inside",
        "spool/tables.py", "with outside_forks(), closing(", "with closing(",
        "integration/spool/test_spool_sharing.py -k fork_waits",
    ),
    Bug(
        "a spool file of an earlier build keeps what it is given",
        "it is taken to have room for contexts", "spool/tables.py",
        """return any(row[1] == "trace" for row""", """return any(row for row""",
        "integration/spool/test_spool_traced.py -k without_room",
    ),
    Bug(
        "a spool that others may write is not used",
        "the folder's mode is not looked at", "spool/trust.py",
        "if found.st_mode & _WRITABLE_BY_OTHERS:", "if False:",
        f"{_SPOOL}/test_spool_trust.py -k fsGroup",
    ),
    Bug(
        "links of the spool are not followed",
        "a file is judged by what it leads to", "spool/trust.py",
        "    found = os.lstat(path)\n", "    found = os.stat(path)\n",
        f"{_SPOOL}/test_spool_trust.py -k 'left_alone and link'",
    ),
)  # fmt: skip
