"""Access: the accounts and keys whose events the relay takes.

Without a list every account may send, which only a server on loopback allows. No text of this file
shows a key: neither an error nor a log line nor a repr. Nothing to lose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from vwo_celery.errors import SettingsError
from vwo_celery.logs import log
from vwo_celery.settings import BatchSettings
from vwo_celery.settings.relay_batches import check_relay_batch, outer_options
from vwo_celery.text.amounts import count

#: Stands for any key of an account.
ANY_KEY: Final = "*"
_ENTRY: Final = re.compile(r"([0-9]{1,18})=([!-~]+)")

#: For each account its keys; or its keys, "keys", and its batch options, "batch_event_data".
_Keys = Iterable[str] | Mapping[str, Any]
Accounts = Mapping[str, _Keys] | Mapping[int, _Keys]


class Account(NamedTuple):
    """One account that may send.

    Attributes:
        keys: Its SDK keys.
        batch: Its batch options; None for the relay's own.
    """

    keys: frozenset[str]
    batch: BatchSettings | None = None


_Allowed = dict[str, Account]


class Access:
    """The list of accounts and keys that may send.

    Args:
        accounts: For each account its keys, "*" for any, or a mapping with "keys" and
            "batch_event_data", in any SDK's spelling; None for no list: everybody may send.
        file: Path of a file with further ones, "" for none: JSON of the same form, such as
            {"888888": ["KEY"]}, or lines such as 888888=KEY. It is read now and by `reread`.

    Raises:
        SettingsError: The accounts are no mapping, an account is not a number or has no key, or the
            file cannot be read.
    """

    def __init__(self, accounts: Accounts | None = None, file: str = "") -> None:
        self._given = _checked({} if accounts is None else accounts, "accounts")
        self._file = file
        self.is_open = accounts is None and not file
        self._allowed: _Allowed = {}
        self.reread()

    def allows(self, account: str, key: str) -> bool:
        """Whether events of an account may come with a key."""
        if not account or not key:
            return False
        if self.is_open:
            return True
        return self.names(account, key) or self.names(account, ANY_KEY)

    def names(self, account: str, key: str) -> bool:
        """Whether the list has an account with this very key."""
        known = self._allowed.get(account)
        return known is not None and key in known.keys

    def batch_of(self, account: str) -> BatchSettings | None:
        """Batch options of an account; None for the relay's own."""
        known = self._allowed.get(account)
        return known.batch if known is not None else None

    def reread(self) -> None:
        """Read the file again.

        Raises:
            SettingsError: It cannot be read; the list stays as it was.
        """
        read = _read_file(self._file) if self._file else {}
        self._allowed = _merged(self._given, read)

    def reread_or_warn(self) -> None:
        """Read the file again; if it cannot be read, say so in the log, and keep the list."""
        try:
            self.reread()
        except SettingsError as exc:
            log.error("%s; the accounts stay as they were", exc)
        else:
            log.info("the relay takes events of %s", count(len(self._allowed), "account"))

    @property
    def own_batches(self) -> list[str]:
        """Accounts that have batch options of their own."""
        return sorted(name for name, each in self._allowed.items() if each.batch is not None)

    @property
    def is_empty(self) -> bool:
        """Whether there is a list, and nobody on it."""
        return not self.is_open and not self._allowed

    @property
    def open_accounts(self) -> list[str]:
        """Accounts that may send with any key."""
        return sorted(name for name, each in self._allowed.items() if ANY_KEY in each.keys)

    def __repr__(self) -> str:
        return "Access(everybody)" if self.is_open else f"Access({', '.join(self._allowed)})"


def parse_entries(entries: Iterable[str], origin: str) -> dict[str, list[str]]:
    """Return the accounts and keys of texts such as "888888=KEY".

    Raises:
        SettingsError: A text is something else; it names *origin* and the place, and shows no text.
    """
    found: dict[str, list[str]] = {}
    for number, entry in enumerate(entries, 1):
        match = _ENTRY.fullmatch(entry.strip())
        if match is None:
            raise SettingsError(
                f"entry {number} of {origin} must be ACCOUNT=KEY, such as 888888=KEY, or 888888=* for "
                "any key of the account"
            )
        found.setdefault(match[1], []).append(match[2])
    return found


def _merged(given: _Allowed, read: _Allowed) -> _Allowed:
    """The accounts of both; what the file says of batches counts."""
    merged = dict(given)
    for account, each in read.items():
        known = merged.get(account, Account(frozenset()))
        batch = each.batch if each.batch is not None else known.batch
        merged[account] = Account(known.keys | each.keys, batch)
    return merged


def _read_file(path: str) -> _Allowed:
    origin = f"the file of accounts {path}"
    try:
        text = Path(path).expanduser().read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError, RuntimeError) as exc:
        why = getattr(exc, "strerror", None) or type(exc).__name__
        raise SettingsError(f"{origin} cannot be read: {why}") from None
    if text.lstrip().startswith("{"):
        found = _json(text, origin)
    else:
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        found = parse_entries(filter(None, lines), origin)
    if not found:
        raise SettingsError(f"{origin} names no account")
    return _checked(found, origin)


class _TwiceError(ValueError):
    """A name comes twice in an object, and what the first one says would be lost."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"account {twice}" if twice.isdecimal() else "a name")  # or it is a key
    return found


def _json(text: str, origin: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text, object_pairs_hook=_once)
    except _TwiceError as exc:
        raise SettingsError(f"{origin} has {exc} twice in one object") from None
    except json.JSONDecodeError as exc:
        raise SettingsError(f"{origin} is not JSON: see its line {exc.lineno}") from None
    except (ValueError, RecursionError):
        raise SettingsError(f"{origin} is not JSON") from None
    return found


def _checked(accounts: Accounts, origin: str) -> _Allowed:
    if not isinstance(accounts, Mapping):
        raise SettingsError(f"{origin} must be a mapping such as {{ACCOUNT: [KEY]}}")
    checked: _Allowed = {}
    for account, given in accounts.items():
        form: Mapping[str, Any] = given if isinstance(given, Mapping) else {"keys": given}
        keys, batch = form.get("keys"), outer_options(form, origin)
        if batch is not None:
            batch = check_relay_batch(batch, f"an account of {origin}")
        keys = [keys] if isinstance(keys, str) else keys
        texts = list(keys) if isinstance(keys, Iterable) else []
        if not texts or not all(isinstance(key, str) for key in texts):
            raise SettingsError(f"{origin} must have a list of keys, texts, for each account")
        entries = parse_entries([f"{account}={key}" for key in texts], origin)
        if list(entries) != [str(account)]:
            raise SettingsError(f"{origin} must have accounts that are numbers")
        checked[str(account)] = Account(frozenset(entries[str(account)]), batch)
    return checked
