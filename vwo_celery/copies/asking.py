"""What an SDK asks when it fetches its settings, and which copy answers it.

VWO's answer depends on who asks: on the generation, the SDK, its version and that of the interface. So a
copy belongs to a whole query, but for `r`, a random number against caches. A region before the path does
not count. Pure: nothing to lose.

Source: requests of the vendor's SDKs, recorded or read.
"""

from __future__ import annotations

from typing import Final

import msgspec

from vwo_celery.queue.records.copies import CopyName
from vwo_celery.sending.wanted import Wanted

#: Path of settings, and of those that an SDK fetches once VWO's webhook has told of a change: the same
#: settings, asked of VWO at any rate.
_PULLED_AS: Final = {
    "/server-side/pull": "/server-side/settings",
    "/server-side/v2-pull": "/server-side/v2-settings",
}
_RANDOM: Final = "r="


class Asked(msgspec.Struct, frozen=True):
    """A request for settings.

    Attributes:
        origin: Scheme and host of VWO's that are asked.
        region: First segment of the path, "" for none.
        path: VWO's path, after the region.
        account: VWO account.
        key: SDK key.
        query: As the SDK spelled it, visible ASCII.
    """

    origin: str
    region: str
    path: str
    account: str
    key: str
    query: str

    @property
    def is_pull(self) -> bool:
        """Whether VWO is asked at any rate, since it has told of a change."""
        return self.path in _PULLED_AS

    @property
    def name(self) -> CopyName:
        """The copy that answers it."""
        pairs = sorted(pair for pair in self.query.split("&") if not pair.startswith(_RANDOM))
        asked = f"{_PULLED_AS.get(self.path, self.path)}?{'&'.join(filter(None, pairs))}"
        return CopyName(self.origin, self.account, self.key, asked)

    @property
    def wanted(self) -> Wanted:
        """The request to VWO."""
        region = f"/{self.region}" if self.region else ""
        return Wanted(
            origin=self.origin, path=f"{region}{self.path}", query=self.query, key=self.key
        )
