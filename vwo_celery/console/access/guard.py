"""Who a request to `vwo-celery web` comes from: by the file of credentials, or everybody of this host.

Without a file only programs of this host can connect (see `console.serving`); then a name that leads
here, and a proxy that passes others on, are refused. Nothing to lose.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from vwo_celery.console.access.credentials import Credentials
from vwo_celery.console.access.hosts import is_passed_on, may_ask_for
from vwo_celery.console.access.throttle import Throttle
from vwo_celery.console.shared.exchange import Request
from vwo_celery.console.shared.refusals import Refusal
from vwo_celery.console.shared.rights import ROLES, Visitor

_ASK = ("WWW-Authenticate", 'Basic realm="vwo-celery", charset="UTF-8"')


class Guard:
    """Lets people and programs in.

    Args:
        credentials: Those who may come in; None for everybody who can connect, with all rights.
        hosts: Names by which the console may be asked for; with credentials, none for any.
        local_name: The name of whoever comes in without credentials, for the audit.
        read_only: Whether nobody may change anything.
        throttle: Counts those who guess.
    """

    def __init__(
        self,
        credentials: Credentials | None,
        *,
        hosts: Collection[str] = (),
        local_name: str = "",
        read_only: bool = False,
        throttle: Throttle | None = None,
    ) -> None:
        self._credentials = credentials
        self._hosts = frozenset(host.lower() for host in hosts)
        self._local = Visitor.in_role("purge", local_name)
        self._most = ROLES["peek" if read_only else "purge"]
        self._throttle = throttle or Throttle()

    def __call__(self, request: Request) -> Visitor:
        """The visitor.

        Raises:
            Refusal: They may not come in.
        """
        credentials = self._credentials
        if (credentials is None or self._hosts) and not may_ask_for(request.host, self._hosts):
            raise Refusal(
                421, f"this console does not answer to the name {request.host}",
                "start it with --host NAME, or VWO_CELERY_CONSOLE_HOSTS, if that name is yours",
            )  # fmt: skip
        if credentials is None:
            return self._anybody(request).at_most(self._most)
        return self._known(credentials, request).at_most(self._most)

    def _anybody(self, request: Request) -> Visitor:
        """Somebody on this host; a proxy may pass on somebody who is not."""
        if is_passed_on(request):
            raise Refusal(
                403, "this console lets in everybody who can connect, so it does not answer a proxy",
                "start it with --credentials FILE",
            )  # fmt: skip
        return self._local

    def _known(self, credentials: Credentials, request: Request) -> Visitor:
        wait_seconds = self._throttle.wait_seconds(request.remote)
        if wait_seconds:
            raise Refusal(
                429, "too many wrong secrets came from this address", "try again in a minute",
                (("Retry-After", str(math.ceil(wait_seconds))),),
            )  # fmt: skip
        visitor = credentials.visitor(request.headers)
        if visitor is None:
            if "authorization" in request.headers:
                self._throttle.note(request.remote)
            raise Refusal(
                401, "this console wants to know who you are",
                "give the name and the secret that its file of credentials has for you", (_ASK,),
            )  # fmt: skip
        return visitor
