"""The doctor's check of a Sentinel group, and what to do about a Redis that cannot be used.

Pure decisions on what the Sentinels say: nothing to lose.
"""

from __future__ import annotations

from vwo_celery.connections.errors import is_denied, is_without_master
from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.queue.looks.mastership import Mastership
from vwo_celery.text.amounts import count, span

#: Time for which a failover deserves a word.
_RECENT_SECONDS = 86_400.0
#: What to do while Sentinel knows no master.
WAIT_FOR_SENTINEL = (
    "wait some seconds, Redis need not be started: a replica takes over. If none does, ask a "
    "Sentinel: SENTINEL CKQUORUM and SENTINEL REPLICAS with the service's name, and see its log"
)
#: What to do about a user who may not do what was tried.
_GIVE_RIGHTS = "give its user the rights that it lacks, which are named under permissions of doctor"


def remedy_of(exc: BaseException, otherwise: str) -> str:
    """What to do about a Redis that cannot be used: wait for Sentinel, give rights, or *otherwise*."""
    if is_denied(exc):
        return _GIVE_RIGHTS
    return WAIT_FOR_SENTINEL if is_without_master(exc) else otherwise


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
        return problem("VC222", what, WAIT_FOR_SENTINEL)
    others = facts.sentinels - facts.silent - facts.agreeing
    if others:
        what += f"; {count(others, 'Sentinel names', 'Sentinels name')} another"
        return warn("VC223", what, "they are cut off from the others: see their logs")
    if facts.silent:
        what += f"; {facts.silent} of {count(facts.sentinels, 'Sentinel')} give no answer"
        return warn("VC224", what, "start them: too few of them elect no master")
    return ok("sentinel", f"{what}; all of {count(facts.sentinels, 'Sentinel')} name it")
