"""Bugs in the settings that SDKs get through a relay: `copies/`."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "whoever asks otherwise gets an answer of its own",
        "a copy belongs to a path",
        "copies/asking.py",
        "?{'&'.join(filter(None, pairs))}\"",
        '"',
        "integration/relay/settings/test_fetching.py -k asks_otherwise",
    ),
    Bug(
        "a pull is never answered by a copy",
        "it is asked as settings are",
        "copies/asking.py",
        "        return self.path in _PULLED_AS\n",
        "        return False\n",
        "integration/relay/settings/test_fetching.py -k pull",
    ),
    Bug(
        "no SDK gets another account's settings",
        "what they say of their account is not read",
        "copies/judging.py",
        "    if fetched.status != HTTPStatus.OK or not _is_account(_account_of(fetched.body), account):",
        "    if fetched.status != HTTPStatus.OK:",
        "integration/relay/settings/test_vwo_away.py -k worth_nothing",
    ),
    Bug(
        "SDKs start while VWO is away",
        "an old copy is no copy",
        "copies/keeper.py",
        "        return Found(_stale(copy), task)\n",
        "        return Found(None, task)\n",
        "integration/relay/settings/test_vwo_away.py -k away_after_a_restart",
    ),
    Bug(
        "a pull reaches every relay",
        "a copy in memory is trusted for a minute",
        "copies/keeper.py",
        "_SURE_SECONDS: Final = 1.0",
        "_SURE_SECONDS: Final = 60.0",
        "integration/relay/settings/test_fetching.py -k renews_all",
    ),
)
