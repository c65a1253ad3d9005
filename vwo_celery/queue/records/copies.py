"""Copies of VWO's settings, so that SDKs get theirs through a relay while VWO is away.

Beside an event's way; owns the keys `settings:*` and `refresh:*`. All relays share the copies; for one
that is due, one process at a time gets the task to fetch it anew. Time is Redis'. Copies of one account
and key are bounded in number, and go together some days after the last of them was written. If a process
dies here, its task passes on to another after a moment; no copy is ever half written.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from vwo_celery.connections import unavailable
from vwo_celery.queue.scripts import script
from vwo_celery.queue.words.keys import copy_keys, new_token

#: How long a copy is fresh, and up to which age it may be used while VWO does not answer.
FRESH_MS: Final = 60_000
KEPT_MS: Final = 7 * 24 * 3_600_000
#: Most copies of one account and key: one for each SDK, its version and what else it asks with. (Bodies
#: are at most 5 MB, and real ones some ten kB.)
MOST_COPIES: Final = 16
#: Age from which a copy gives way to one that is new; SDKs that poll renew theirs sooner.
GIVES_WAY_MS: Final = 3_600_000
#: Longest time in which a copy is fetched, beyond the request's own: after it another process may.
_LEASE_MARGIN_MS: Final = 5_000


class CopyName(msgspec.Struct, frozen=True):
    """Which copy is meant; no name in Redis shows the key.

    Attributes:
        origin: Scheme and host that it comes from.
        account: VWO account.
        key: SDK key.
        asked: What else the SDK asked with, in a settled order.
    """

    origin: str
    account: str
    key: str
    asked: str

    @property
    def whose(self) -> tuple[str, str, str]:
        """What copies must have in common to be bounded together."""
        return self.origin, self.account, self.key

    @property
    def owner(self) -> str:
        """The account, and a digest of it, the key and the origin."""
        return f"{self.account}-{_digest(*self.whose)}"

    @property
    def entry(self) -> str:
        """A digest of what else was asked with."""
        return _digest(self.asked)


class Recalled(msgspec.Struct, frozen=True):
    """What Redis knows of a copy.

    Attributes:
        now_ms: Redis' time, Unix ms.
        at_ms: Unix ms at which it was fetched; 0 if there is none.
        is_fresh: Whether it need not be fetched again.
        token: Proof that it is this process' task to fetch it; "" if it is not.
        text: Its bytes; None if the caller has them already, or there are none.
    """

    now_ms: int
    at_ms: int
    is_fresh: bool
    token: str
    text: bytes | None


class Copies:
    """The copies of one namespace. Safe under threads.

    Args:
        client: A Redis client made by `connections`.
        namespace: First part of every key.
        fetch_seconds: Longest time of one request to VWO.
    """

    def __init__(self, client: Any, namespace: str, *, fetch_seconds: float) -> None:
        self._client = client
        self._namespace = namespace
        self._lease_ms = int(1000 * fetch_seconds) + _LEASE_MARGIN_MS

    def recall(self, name: CopyName, *, known_ms: int = 0) -> Recalled:
        """Look a copy up.

        Args:
            name: Which one.
            known_ms: Unix ms of the copy that the caller has; it does not travel again.

        Raises:
            QueueUnavailable: Redis did not answer; for some seconds no process may have the task.
        """
        token = new_token()
        words = (name.entry, known_ms, KEPT_MS, token, self._lease_ms)
        with unavailable("look-up of a copy of VWO's settings"):
            found = script("recall").run(self._client, self._keys(name), words)
        now_ms, at_ms, is_fresh, is_ours, text = found
        return Recalled(
            int(now_ms), int(at_ms), is_fresh == 1, token if is_ours == 1 else "", text or None
        )

    def remember(
        self,
        name: CopyName,
        text: bytes,
        *,
        began_ms: int = 0,
        token: str = "",
        pulled: bool = False,
    ) -> int:
        """Keep a copy, and give the task back.

        Args:
            name: Which one.
            text: Its bytes.
            began_ms: Unix ms, by Redis' time, at which its fetching began; 0 if that is not known.
            token: Of the task, "" for none.
            pulled: Whether VWO has told that the settings have changed: all other copies of the
                account and key are then due.

        Returns:
            Unix ms of the copy; 0 if it is not kept, since there are too many already or a newer one.

        Raises:
            QueueUnavailable: Redis did not answer, or took nothing; it may be kept.
        """
        bounds = (FRESH_MS, KEPT_MS, MOST_COPIES, GIVES_WAY_MS)
        words = (name.entry, text, began_ms, *bounds, int(pulled), token)
        with unavailable("a copy of VWO's settings"):
            return int(script("remember").run(self._client, self._keys(name), words))

    def give_up(self, name: CopyName, *, after_ms: int) -> None:
        """Let another process fetch a copy after some time: this one could not.

        Raises:
            QueueUnavailable: Redis did not answer; the task passes on by itself.
        """
        with unavailable("a copy of VWO's settings"):
            self._client.pexpire(self._keys(name)[1], after_ms)

    def _keys(self, name: CopyName) -> tuple[str, str]:
        return copy_keys(self._namespace, name.owner, name.entry)


def _digest(*parts: str) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:24]
