"""The doctor's look at the settings of a relay: whose events it would take.

Pure: nothing to lose.
"""

from __future__ import annotations

from collections.abc import Iterator

from vwo_celery.operating.doctor.finding import Finding, warn
from vwo_celery.operating.doctor.wording import names
from vwo_celery.settings import Settings
from vwo_celery.text.amounts import count

_ANY_KEY = "=*"
_REMEDY = (
    "name each key in relay_accounts, as ACCOUNT=KEY: whoever reaches the relay can otherwise make "
    "queues without end, and have workers send with keys of his own"
)


def relay_findings(settings: Settings) -> Iterator[Finding]:
    """Yield a warning where any key of an account may send; nothing else is worth a line."""
    given = {
        entry.removesuffix(_ANY_KEY)
        for entry in settings.relay_accounts
        if entry.endswith(_ANY_KEY)
    }
    if given:
        accounts = count(len(given), "account")
        yield warn(
            "VC121", f"the relay takes any key of {accounts}: {names(sorted(given))}", _REMEDY
        )
