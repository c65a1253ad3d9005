"""Making the relay: from settings to its app.

Nothing to lose: it connects to nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vwo_celery.destinations.parts import read_base_url
from vwo_celery.errors import DestinationError, SettingsError
from vwo_celery.relay.app import Relay
from vwo_celery.relay.destinations import Destinations
from vwo_celery.relay.rules.access import Access, Accounts, parse_entries
from vwo_celery.settings import BatchSettings, Settings
from vwo_celery.settings.arguments import BatchOptions, SettingsArguments, with_options
from vwo_celery.settings.relay_batches import check_relay_batch, read_relay_batches

#: A path without a query.
_PREFIX: Final = re.compile(r"/[^?#\s]*")

if TYPE_CHECKING:
    from typing_extensions import Unpack


@with_options
def relay_app(
    *,
    accounts: Accounts | None = None,
    everybody: bool = False,
    prefix: str = "",
    batch_event_data: BatchOptions = None,
    settings: Settings | None = None,
    **arguments: Unpack[SettingsArguments],
) -> Relay:
    """Return the relay as an ASGI app, to be served, or mounted into another. Connects to nothing yet.

    Args:
        accounts: The accounts that may send, each with its SDK keys, such as {"888888": ["KEY"]};
            "*" for any key; or with {"keys": […], "batch_event_data": {…}}, which comes before the
            setting `relay_batch_event_data`. None for the settings `relay_accounts`. Those of
            `relay_accounts_file` may send, too.
        everybody: Let every account send where none is named; only where nobody else can connect.
        prefix: Path under which the app is reached, such as "/vwo", where the app that it is mounted
            into sets no `root_path`.
        batch_event_data: The SDKs' batch options, listed below, without a callback: when a batch of
            relayed events leaves, of accounts without options of their own. None for the settings
            `relay_events_per_request` and `relay_request_time_interval`.
        settings: Ready-made settings; else they come from *arguments*, Django, the environment.
        arguments: Single settings, listed below.

    Raises:
        SettingsError: A setting or batch option is wrong, the prefix is no path, the file of accounts
            cannot be read, or no account is named.
    """
    settings = settings if settings is not None else Settings.load(**arguments)
    access = access_of(settings, accounts)
    if access.is_empty:
        raise SettingsError("relay_app: accounts names nobody, so each request would be refused")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise SettingsError(f'prefix must be a path such as "/vwo", and not {prefix!r}')
    if access.is_open and not everybody:
        raise SettingsError(
            "relay_app needs the accounts whose events it takes: accounts={ACCOUNT: [KEY]}, or the "
            "settings relay_accounts or relay_accounts_file; or everybody=True where nobody else can "
            "connect"
        )
    return make_relay(settings, access, prefix=prefix, batch_event_data=batch_event_data)


def make_relay(
    settings: Settings,
    access: Access,
    *,
    prefix: str = "",
    batch_event_data: BatchOptions = None,
    listens: str = "",
) -> Relay:
    """Return the relay of these settings and accounts; see `relay_app` and `Telling`."""
    for name in ("relay_upstream", "relay_gateway_upstream"):
        _check_upstream(name, getattr(settings, name))
    common = _common_batch(settings, batch_event_data)
    in_settings = read_relay_batches(settings.relay_batch_event_data, "the relay's settings")

    def batch_of(account: str) -> BatchSettings:
        return access.batch_of(account) or in_settings.get(account, common)

    def batches() -> dict[str, BatchSettings]:
        accounts = {*in_settings, *access.own_batches}
        return {"": common, **{account: batch_of(account) for account in accounts}}

    return Relay(
        access,
        Destinations(settings, batch_of, settings.relay_upstream, is_named=access.names),
        settings,
        origins=settings.relay_allowed_origins,
        prefix=prefix,
        batches=batches,
        listens=listens,
    )


def access_of(settings: Settings, accounts: Accounts | None = None) -> Access:
    """Who may send: *accounts*, else those of the settings; and those of the file.

    Raises:
        SettingsError: The file of accounts cannot be read, or an account has no key.
    """
    if accounts is None and settings.relay_accounts:
        accounts = parse_entries(settings.relay_accounts, "relay_accounts")
    return Access(accounts, settings.relay_accounts_file)


def _common_batch(settings: Settings, given: BatchOptions) -> BatchSettings:
    """When batches leave of accounts without options of their own."""
    if given is not None:
        return check_relay_batch(given, "argument")
    return BatchSettings(settings.relay_events_per_request, settings.relay_request_time_interval)


def _check_upstream(name: str, url: str) -> None:
    try:
        read_base_url(name, url)
    except DestinationError as exc:
        raise SettingsError(str(exc)) from exc
