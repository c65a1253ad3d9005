"""Write vwo_celery/settings/arguments.py from the settings: `python docs/build_arguments.py`.

Type checkers and editors read types only from source, so what they need to know of the keyword arguments
is written there. A test builds it and compares.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

import vwo_celery
from vwo_celery.settings import Settings, describe
from vwo_celery.settings.batch_event_data import SPELLINGS, Reading

MODULE = Path(vwo_celery.__file__).parent / "settings" / "arguments.py"
_WIDTH = 100
_BEGIN, _END = "# -- made by `make docs`\n", "# -- end\n"
_TEXTS = {
    "allowed_hosts": "list[str] | tuple[str, ...]",
    "callback_modules": "list[str] | tuple[str, ...]",
    "console_hosts": "list[str] | tuple[str, ...]",
    "console_mask": "list[str] | tuple[str, ...]",
    "relay_accounts": "list[str] | tuple[str, ...]",
    "relay_allowed_origins": "list[str] | tuple[str, ...]",
    "relay_batch_event_data": "str | Mapping[str, BatchEventData]",
    "spool_dir": "str | os.PathLike[str]",
}
_DEFAULTS = {"": "empty", (): "none"}
_SPOOL_DIR = "$XDG_STATE_HOME/vwo-celery, else ~/.local/state/vwo-celery"
_OPTION_TYPES = {
    "events_per_request": "int | None",
    "request_time_interval": "float | None",
    "flush_callback": "str | Callback | None",
}


def build(module: str) -> str:
    """Return the module with what stands between its marks made anew."""
    before, begin, rest = module.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"the module has no marks {_BEGIN!r} and {_END!r}")
    classes = "\n\n\n".join((_settings(), _django(), _options()))
    return f"{before}{begin}\n\n{classes}\n\n\n{end}{after}"


def _settings() -> str:
    lines = [
        "class SettingsArguments(TypedDict, total=False):",
        '    """Settings, by name.',
        "",
        "    Each is also VWO_CELERY_<NAME> in the environment, and a key of VWO_CELERY in Django's",
        "    settings. None counts as not given.",
        "",
    ]
    for field in msgspec.structs.fields(Settings):
        told = describe(field.name)
        text = f"{told.meaning} It must be {told.expected}. Default: {_default(field)}."
        lines += _entry(field.name, text.replace("`", ""))
    return "\n".join([*lines, '    """', "", *_fields(str.lower)])


def _django() -> str:
    return "\n".join(
        [
            "class DjangoSettings(SettingsArguments, total=False):",
            '    """VWO_CELERY in Django\'s settings: the names in lower or in upper case."""',
            "",
            *_fields(str.upper),
        ]
    )


def _fields(case: Any) -> Iterator[str]:
    for field in msgspec.structs.fields(Settings):
        yield f"    {case(field.name)}: {_type(field.name)} | None"


def _options() -> str:
    lines = [
        "class BatchEventData(TypedDict, total=False):",
        '    """Batch options, by name.',
        "",
        "    In the spelling of any of VWO's SDKs. With neither a number of events nor an interval,",
        "    each event leaves at once. If only one is given, the other takes its default.",
        "",
    ]
    spellings: dict[Reading, list[str]] = {}
    for spelling, reading in SPELLINGS.items():
        spellings.setdefault(reading, []).append(spelling)
    for each, names in spellings.items():
        text = f"{each.meaning} It must be {each.range}. Default: {each.default}."
        lines += _entry(", ".join(names), text.replace("`", "").replace("*", ""))
    fields = [f"    {name}: {_OPTION_TYPES[each.option]}" for name, each in SPELLINGS.items()]
    return "\n".join([*lines, '    """', "", *fields])


def _entry(name: str, text: str) -> list[str]:
    names = textwrap.wrap(f"{name}:", _WIDTH, initial_indent="    ", subsequent_indent="    ")
    indent = " " * 8
    return [*names, *textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)]


def _type(name: str) -> str:
    kind = get_type_hints(Settings, include_extras=True)[name]
    kind = get_args(kind)[0]
    if name in _TEXTS:
        return _TEXTS[name]
    if get_origin(kind) is Literal:
        values = ", ".join(f'"{value}"' for value in get_args(kind))
        return f"Literal[{values}]"
    return str(kind.__name__)


def _default(field: Any) -> str:
    if field.name == "spool_dir":
        return _SPOOL_DIR
    if field.default in _DEFAULTS:
        return _DEFAULTS[field.default]
    return f"{field.default:g}" if isinstance(field.default, float) else f"{field.default}"


if __name__ == "__main__":
    MODULE.write_text(build(MODULE.read_text("utf-8")), "utf-8")
