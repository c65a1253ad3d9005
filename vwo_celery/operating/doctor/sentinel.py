"""The doctor's check of a Sentinel group: do its members answer, and do they know a master?

Pure decisions on what the Sentinels say: nothing to lose.
"""

from __future__ import annotations

from vwo_celery.connections.remedies import TROUBLES
from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.servers.mastership import Mastership, read_mastership
from vwo_celery.text.amounts import count, span

#: Time for which a failover deserves a word.
_RECENT_SECONDS = 86_400.0
#: What to do while Sentinel knows no master.
_WAIT_FOR_SENTINEL = TROUBLES["master"].remedy


def master_of(fleet: Fleet) -> str:
    """The master as the Sentinels name it; "" where there are none."""
    facts = read_mastership(fleet.client)
    return "" if facts is None else describe_master(facts)


def describe_master(facts: Mastership) -> str:
    """The master, since when, and by the how-manieth failover."""
    if not facts.master:
        return f"none of {count(facts.sentinels, 'Sentinel')} answers"
    if facts.electing:
        return f"the Sentinels are replacing {facts.master}; events go to the spool until they have"
    if facts.down_seconds is not None:
        return f"no master: {facts.master} has not answered for {span(facts.down_seconds)}"
    since = f"{facts.master} is the master, for {span(facts.since_seconds)}"
    if facts.failovers and facts.since_seconds < _RECENT_SECONDS:
        return f"{since}: failed over {span(facts.since_seconds)} ago (failover {facts.failovers})"
    return since


def sentinel_finding(facts: Mastership) -> Finding:
    """Judge the Sentinels' word."""
    what = describe_master(facts)
    if not facts.master:
        return problem("VC221", what, "start them, or correct the hosts and ports in redis_url")
    if facts.electing or facts.down_seconds is not None:
        return problem("VC222", what, _WAIT_FOR_SENTINEL)
    others = facts.sentinels - facts.silent - facts.agreeing
    if others:
        what += f"; {count(others, 'Sentinel names', 'Sentinels name')} another"
        return warn("VC223", what, "they are cut off from the others: see their logs")
    if facts.silent:
        what += f"; {facts.silent} of {count(facts.sentinels, 'Sentinel')} give no answer"
        return warn("VC224", what, "start them: too few of them elect no master")
    return ok("sentinel", f"{what}; all of {count(facts.sentinels, 'Sentinel')} name it")
