"""Carries out a plan with VWO's legacy SDK for Python, pointed elsewhere by its constants."""

from __future__ import annotations

import vwo
from plan import flushed, main, tell
from vwo.constants import constants


def _visitor(given=None):
    given = given or {}
    named = {"user_agent": given.get("ua"), "user_ip_address": given.get("ip")}
    return {name: value for name, value in named.items() if value}


def _revenue(value=None):
    return {} if value is None else {"revenue_value": value}


def _start(plan):
    constants.HTTPS_PROTOCOL = "http://"
    constants.ENDPOINTS.BASE_URL = plan["pointed"]["netloc"]
    batch = plan["batch"] and {
        "events_per_request": plan["batch"]["events"],
        "request_time_interval": plan["batch"]["seconds"],
        "flush_callback": flushed,
    }
    settings = vwo.get_settings_file(plan["account"], plan["key"])
    client = vwo.launch(settings, batch_events=batch or None)
    return {
        "activate": lambda key, user, given=None: tell(
            variation=client.activate(key, user, **_visitor(given))
        ),
        "feature": lambda key, user, given=None: tell(
            enabled=client.is_feature_enabled(key, user, **_visitor(given))
        ),
        "goal": lambda keys, user, goal, value=None: client.track(
            keys, user, goal, **_revenue(value)
        ),
        "tag": client.push,
        "tags": client.push,
        "flush": lambda: tell(flush=client.flush_events("sync")),
    }


main(_start)
