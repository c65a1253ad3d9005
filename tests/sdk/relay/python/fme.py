"""Carries out a plan with VWO's FME SDK for Python, under the name `vwo` or `wingify`."""

from __future__ import annotations

import importlib

from plan import flushed, main, tell


def _context(given):
    context = {"id": given["id"]}
    if "ua" in given:
        context["user_agent"] = given["ua"]
    if "ip" in given:
        context["ip_address"] = given["ip"]
    if "variables" in given:
        context["custom_variables"] = given["variables"]
        context["post_segmentation_variables"] = list(given["variables"])
    return context


def _start(plan):
    options = {"account_id": plan["account"], "sdk_key": plan["key"], **plan["pointed"]}
    if plan["batch"]:
        options["batch_event_data"] = {
            "events_per_request": plan["batch"]["events"],
            "request_time_interval": plan["batch"]["seconds"],
            "flush_callback": flushed,
        }
    client = importlib.import_module(plan["package"]).init(options)
    return {
        "flag": lambda key, user: tell(flag=client.get_flag(key, _context(user)).is_enabled()),
        "event": lambda name, user, props: client.track_event(name, _context(user), props),
        "attributes": lambda given, user: client.set_attribute(given, _context(user)),
        "attribute": lambda name, value, user: client.set_attribute(name, value, _context(user)),
        "flush": lambda: tell(flush=client.flush_events()),
    }


main(_start)
