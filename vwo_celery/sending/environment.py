"""What this process' environment says of the way to VWO: proxies, and the certificates to trust.

Stage 4 of an event's way, under the sender. Read as requests reads it, once for each URL; the log and
errors show nothing of a proxy's password. No state: nothing to lose.
"""

from __future__ import annotations

import os
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

import requests
from requests.exceptions import InvalidProxyURL
from requests.utils import get_auth_from_url, select_proxy
from urllib3.util import parse_url

from vwo_celery.sending.failures import BundleUnusable
from vwo_celery.text.lines import one_line
from vwo_celery.text.masking import mask, scheme_only, without_secrets

#: Longest text of an answer or an error that is kept.
_MOST_DETAIL_CHARACTERS: Final = 200
_USER_AND_PASSWORD: Final = re.compile(r"//[^/@\s]+@")


class Environment:
    """The way to one URL, as the environment describes it now.

    Args:
        session: Of requests, which reads it.
        url: Where a request goes.

    Attributes:
        options: What requests' adapter is told: proxies, verification, streaming.

    Raises:
        InvalidProxyURL: The proxy's URL cannot be parsed.
        BundleUnusable: The bundle of certificates cannot be loaded.
    """

    def __init__(self, session: requests.Session, url: str) -> None:
        self.options: dict[str, Any] = dict(
            session.merge_environment_settings(url, {}, True, None, None)
        )
        self._secrets = _secrets_of(select_proxy(url, self.options["proxies"]))
        _check_bundle(self.options["verify"])

    def masks(self, key: str) -> dict[str, str]:
        """What must not be shown of a request with this SDK key, "" for none, and what stands for it."""
        return masks(key, *self._secrets)


def masks(key: str, *passwords: str) -> dict[str, str]:
    """Masks of an SDK key, "" for none, and of passwords."""
    return {**({key: mask(key)} if key else {}), **dict.fromkeys(passwords, "…")}


def presentable(text: str, masks: Mapping[str, str]) -> str:
    """Put *text* on one line, shorten it, and mask secrets in any spelling and passwords in URLs."""
    text = without_secrets(_USER_AND_PASSWORD.sub("//…@", text), masks)
    return one_line(" ".join(text.split()))[:_MOST_DETAIL_CHARACTERS]


def _secrets_of(proxy: str | None) -> list[str]:
    """Return the secrets in a proxy's URL, which the proxy could repeat in an answer.

    Raises:
        InvalidProxyURL: It cannot be parsed. Not mistaken for a destination that cannot be parsed:
            the proxy is this worker's own. Any part of it may be a password, so only its scheme is shown.
    """
    try:
        parse_url(proxy or "")
        user, password = get_auth_from_url(proxy or "")
    except ValueError:  # LocationParseError is one
        raise InvalidProxyURL(
            f"the proxy is {scheme_only(str(proxy))} and cannot be parsed; in its user and password "
            "all but letters and digits must be percent-encoded"
        ) from None
    return [password, b64encode(f"{user}:{password}".encode()).decode()] if password else []


def _check_bundle(verify: object) -> None:
    """Raise BundleUnusable for a CA bundle that cannot be loaded: requests would blame the connection."""
    if not isinstance(verify, str):
        return
    kind = "capath" if os.path.isdir(verify) else "cafile"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**{kind: verify})
    except OSError as exc:  # ssl.SSLError is one
        what = "is not there" if isinstance(exc, FileNotFoundError) else f"cannot be used ({exc})"
        raise BundleUnusable(
            f"REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names {verify!r}, which {what}; "
            "without it no certificate can be verified"
        ) from None
