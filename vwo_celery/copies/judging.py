"""What an answer of VWO's to a request for settings is worth: kept, handed on, or nothing.

Only settings of the very account are kept. A pure decision: nothing to lose.

Source: `accountId` stands in the settings of both generations, and no SDK takes any without it
(vendor's schemas); the vendor's page "HTTP requests" has the 400 for a wrong key.
"""

from __future__ import annotations

import json
from contextlib import suppress
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

import msgspec

from vwo_celery.sending.wanted import Fetched
from vwo_celery.text.plain import plain_integer

#: What VWO says of an account or a key that it does not know.
_REFUSALS: Final = frozenset(
    (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND)
)


class Worth(Enum):
    """What becomes of an answer."""

    #: It is kept, and handed on.
    COPY = "copy"
    #: It is handed on: VWO refuses the account or key.
    REFUSAL = "refusal"
    #: It is thrown away: no answer, a fault, or no settings of this account.
    NOTHING = "nothing"


class _Settings(msgspec.Struct):
    account: Any = msgspec.field(name="accountId", default=None)


_read = msgspec.json.Decoder(_Settings).decode


def judge(fetched: Fetched, account: str) -> Worth:
    """Decide what an answer to an account's SDK is worth."""
    if fetched.status in _REFUSALS:
        return Worth.REFUSAL
    if fetched.status != HTTPStatus.OK or not _is_account(_account_of(fetched.body), account):
        return Worth.NOTHING
    return Worth.COPY


def complaint(fetched: Fetched) -> str:
    """What is wrong with an answer that is worth nothing, in a few words."""
    if fetched.failure is not None:
        return f"{fetched.failure.value} {fetched.detail}".strip()
    if fetched.status != HTTPStatus.OK:
        return f"answer {fetched.status}"
    return "answer 200 without settings of this account"


def _account_of(body: bytes) -> Any:
    """What settings say of their account; None if they do not, or are no JSON object."""
    with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _read(body).account
    with suppress(ValueError, RecursionError):
        settings = json.loads(body)  # which reads the lone surrogates of a cut text as well
        return settings.get("accountId") if isinstance(settings, dict) else None
    return None


def _is_account(said: Any, account: str) -> bool:
    if isinstance(said, str):
        return said == account
    return plain_integer(said) is not None and said == int(account)
