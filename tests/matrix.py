"""The suite on every Python found, at both ends of the supported versions: `make test-all`.

    python tests/matrix.py                          every combination
    python tests/matrix.py 3.10-oldest 3.13-newest  some of them
    python tests/matrix.py ends tests/lua           the first and the last that are here
    python tests/matrix.py oldest                   of these, that with the oldest releases; or `newest`
    python tests/matrix.py django                   the tests of Django, on its oldest release, on 5.2 and
                                                    on the newest, as far as the Pythons here have them

What is left of the arguments goes to pytest. Each combination has its environment in .build/matrix,
of about 300 MB, kept for the next run. Says at the end what ran, how it ended, and which
combinations this machine could not offer; exits 1 if one failed, and 2 if there was nothing to run.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

from tools.pythons import CHECKOUT, SUPPORTED, find_pythons, oldest_pins

#: Every combination, in the order in which they run.
NAMES = [f"{version}-{end}" for version in SUPPORTED for end in ("oldest", "newest")]
ENDS = {"ends": slice(0, 2), "oldest": slice(0, 1), "newest": slice(1, 2)}
DJANGO = "django"
#: The first Python whose newest Django is newer than 5.2.
_BEYOND_5_2 = "3.12"
_TESTS_OF_DJANGO = "tests/integration/adapters/django"
_CLOSING_LINE = re.compile(r"^\d+ (?:passed|failed|error|skipped|deselected).*$", re.MULTILINE)


def choose(arguments: list[str], found: list[str]) -> tuple[list[str], list[str]]:
    """The combinations that the arguments name, and what is left of them for pytest."""
    if arguments and arguments[0] in ENDS:
        both = [f"{found[0]}-oldest", f"{found[-1]}-newest"] if found else []
        return both[ENDS[arguments[0]]], arguments[1:]
    if arguments[:1] == [DJANGO]:
        return with_djangos(found), [_TESTS_OF_DJANGO, *arguments[1:]]
    named = [argument for argument in arguments if argument in NAMES]
    return named or NAMES, [argument for argument in arguments if argument not in NAMES]


def with_djangos(found: list[str]) -> list[str]:
    """One combination for each Django: the oldest, 5.2, and the newest."""
    before = [
        version for version in found if SUPPORTED.index(version) < SUPPORTED.index(_BEYOND_5_2)
    ]
    beyond = [version for version in found if version not in before]
    oldest = [f"{version}-oldest" for version in found[:1]]
    return [*oldest, *(f"{version}-newest" for version in (*before[-1:], *beyond[-1:]))]


def run_suite(python: str, name: str, pins: list[str], arguments: list[str]) -> tuple[bool, str]:
    """Run the suite in the environment *name*; whether it passed, and pytest's closing line."""
    home = f".build/matrix/{name}"
    make = os.environ.get("MAKE", "make")
    command = [
        make, "--no-print-directory", "suite", f"PYTHON={python}", f"BUILD={home}",
        f"VENV_TEST={home}/venv", f"PINS={shlex.join(pins)}", f"ARGS={shlex.join(arguments)}",
    ]  # fmt: skip
    print(f"== {name}: {python} {' '.join(pins)}", flush=True)
    # Our make's own variables would reach its make, and would win there.
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    process = subprocess.Popen(
        command, cwd=CHECKOUT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        output += line
    closing = _CLOSING_LINE.findall(output)
    return process.wait() == 0, closing[-1] if closing else "ended before the tests did"


def main(arguments: list[str]) -> int:
    """Run what the arguments choose; the exit code."""
    pythons = find_pythons()
    chosen, rest = choose(arguments, [*pythons])
    results: dict[str, tuple[bool, str]] = {}
    for name in chosen:
        version, _, end = name.partition("-")
        if version in pythons:
            pins = oldest_pins(version) if end == "oldest" else []
            results[name] = run_suite(pythons[version], name, pins, rest)
    print("\n== all combinations")
    for name, (passed, closing) in results.items():
        print(f"{name:<14} {'passed' if passed else 'FAILED'}   {closing}")
    for name in chosen:
        if name not in results:
            print(f"{name:<14} not run: no Python {name.partition('-')[0]} here")
    if not results:
        return 2
    return 0 if all(passed for passed, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
