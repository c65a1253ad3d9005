"""The doctor's look at relays: whose events they take, and what they met in the last hour.

Pure decisions on settings and on the relays' cards: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from vwo_celery.operating.doctor.finding import Finding, ok, problem, warn
from vwo_celery.operating.doctor.wording import names
from vwo_celery.operating.looks.relays import (
    RelayCounts,
    RelayView,
    describe,
    recent_of,
    running,
)
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count

_ANY_KEY = "=*"
_NAME_KEYS = (
    "name each key in relay_accounts, as ACCOUNT=KEY: whoever reaches the relay can otherwise make "
    "queues without end, and have workers send with keys of his own"
)
_GIVE_SPOOL = (
    "give the relay a spool: spool_dir (VWO_CELERY_SPOOL_DIR), a folder on a local disk that its user "
    "can write to"
)
#: Requests that a proxy gave up within an hour from which it is no accident. A proxy that is told to
#: wait leaves only when it is itself restarted, or its own time is up.
_LEFT_BY_DESIGN: Final = 3


def relay_findings(settings: Settings) -> Iterator[Finding]:
    """Yield a warning where any key of an account may send; nothing else is worth a line."""
    given = {
        entry.removesuffix(_ANY_KEY)
        for entry in settings.relay_accounts
        if entry.endswith(_ANY_KEY)
    }
    if given:
        accounts = count(len(given), "account")
        what = f"the relay takes any key of {accounts}: {names(sorted(given))}"
        yield warn("VC121", what, _NAME_KEYS)


def helpless_relay_findings(settings: Settings) -> Iterator[Finding]:
    """Yield a problem if these settings are of a relay that needs Redis, which is away."""
    is_relay = bool(
        settings.relay_accounts or settings.relay_accounts_file or settings.relay_upstream
    )
    if is_relay and not settings.spool_dir:
        what = (
            "a relay with these settings has no spool, and Redis takes no events: it answers 503, and "
            "SDKs that do not send again lose theirs"
        )
        yield problem("VC125", what, _GIVE_SPOOL)


def relay_cards_findings(relays: Sequence[RelayView]) -> Iterator[Finding]:
    """Judge what the relays of the fleet tell; nothing where none did within an hour.

    Args:
        relays: The answer of `view_relays`.
    """
    if not relays:
        return
    found = [*_met(recent_of(relays)), *_kept(running(relays))]
    yield from found or [ok("relay", describe(relays))]


def _met(recent: RelayCounts) -> Iterator[Finding]:
    """Findings on what relays met in the last hour."""
    not_stored = recent.refused.get("not_stored", 0)
    if not_stored:
        yield problem(
            "VC126",
            f"relays answered 503 to {count(not_stored, 'request')} within an hour, since neither "
            "Redis nor a disk took the events: SDKs that do not send again lost them",
            f"see why Redis was away, or the queue full; {_GIVE_SPOOL}",
        )
    if recent.left_behind_proxy >= _LEFT_BY_DESIGN:
        yield warn(
            "VC122",
            f"a proxy gave up {count(recent.left_behind_proxy, 'request')} within an hour before the "
            "relay had answered: it leaves with its clients, and then loses events that it has not "
            "handed on yet",
            "in nginx set proxy_ignore_client_abort on; and keep proxy_request_buffering on: PHP's "
            "SDK closes at once by design, and its events count all the same",
        )
    refused = recent.refused.get("access", 0)
    if refused:
        yield warn(
            "VC124",
            f"relays refused {count(refused, 'request')} within an hour, since no list names their "
            "account and key: their events are not taken",
            "if they are yours, name account and key in relay_accounts or in the file of accounts, "
            "and send the relay SIGHUP for the file; the SDK's own log says which key it has",
        )
    without = recent.settings.get("failed", 0)
    if without:
        yield warn(
            "VC128",
            f"VWO gave relays no settings for {count(without, 'request')} of SDKs within an hour: "
            f"{recent.settings.get('stale', 0):,} got an older copy, and "
            f"{recent.settings.get('none', 0):,} got 503",
            "the relay's log says what came instead; see that its host reaches VWO's, or "
            "relay_upstream: a copy serves for seven days, and an SDK that none is for cannot start",
        )
    crowded = recent.folded + recent.refused.get("too_many_sdks", 0)
    if crowded:
        yield warn(
            "VC123",
            f"an account and key has too many destinations: {count(recent.folded, 'event')} went to "
            f"another version of their SDK within an hour, and "
            f"{count(recent.refused.get('too_many_sdks', 0), 'request')} were refused",
            "bring your applications to one version of each SDK, and start the relay again, which then "
            "counts anew; to see what was seen: vwo-celery queues",
        )


def _kept(those: Sequence[RelayView]) -> Iterator[Finding]:
    """Findings on what the running relays are."""
    bare = [each.process for each in those if not each.card.has_spool]
    if bare:
        yield warn(
            "VC125",
            f"{count(len(bare), 'relay process has', 'relay processes have')} no spool: {names(bare)}; "
            "while Redis is away SDKs get 503, and those that do not send again lose their events",
            _GIVE_SPOOL,
        )
    if len({each.card.batches_digest for each in those}) > 1:
        yield warn(
            "VC127",
            f"relays differ in when a batch leaves: {_differences(those)}; the one that registers a "
            "queue last decides for all",
            "give all relays the same batch options (relay_events_per_request, "
            "relay_request_time_interval, relay_batch_event_data, the file of accounts), and start "
            "them again; SIGHUP is enough for the file",
        )


def _differences(those: Sequence[RelayView]) -> str:
    """Each set of options, with the processes that have it."""
    by_digest: dict[str, list[RelayView]] = {}
    for each in those:
        by_digest.setdefault(each.card.batches_digest, []).append(each)
    sets = [each[0].card.batches for each in by_digest.values()]
    apart = sorted(
        account for account in {*chain(*sets)} if len({s.get(account) for s in sets}) > 1
    )
    return "; ".join(
        f"{_options(each[0], apart)} at {names(view.process for view in each)}"
        for each in by_digest.values()
    )


def _options(view: RelayView, apart: Sequence[str]) -> str:
    """What one relay has where they differ."""
    told = [
        f"{f'account {account}' if account else 'by default'} {events:,} events or {seconds:g} s"
        for account in apart[:2]
        for events, seconds in [view.card.batches.get(account, view.card.batches.get("", (0, 0.0)))]
    ]
    return ", ".join(told) or "options of further accounts"
