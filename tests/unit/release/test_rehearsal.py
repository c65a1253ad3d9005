"""What `make release` finds wrong in what was built, and which environments it makes."""

from __future__ import annotations

import hashlib
import re
import urllib.request
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from release.building import Built, differences, misplaced
from release.index import make_index, served
from release.installing import SMOKE
from release.lines import Line, Refused, counted, passed, run_lines
from release.rehearsal import ALL, DEMO, EXTRAS, OWN_EXTRAS, Rehearsal, lines

CHECKOUT = Path(__file__).parents[3]
WORKFLOW = CHECKOUT / ".github" / "workflows" / "release.yml"
PYPROJECT = (CHECKOUT / "pyproject.toml").read_text("utf-8")
PYTHONS = {"3.10": "/old/python", "3.13": "/new/python"}
QUIET = Console(quiet=True)


def names(*, short: bool) -> list[str]:
    """Names of the lines of a run on two Pythons."""
    rehearsal = Rehearsal(Path("never made"), "redis://never-asked")
    return [line.name for line in lines(rehearsal, PYTHONS, short=short)]


def test_every_extra_is_installed_on_every_python() -> None:
    """The long form has each Python alone and with each extra that users install."""
    long = names(short=False)

    for version in PYTHONS:
        for extra in ("core", *EXTRAS, ALL, DEMO):
            assert f"{version} {extra}" in long
    assert not {f"3.10 {extra}" for extra in OWN_EXTRAS} & set(long)
    assert {f"3.13 {extra}" for extra in OWN_EXTRAS} <= set(long)


def test_the_short_form_is_the_newest_python_with_all_that_users_install() -> None:
    """CI runs the short form, which builds and looks at all files as the long one does."""
    assert names(short=True) == ["workflow", "build", "check", f"3.13 {ALL}", "bills", "own"]


def test_no_extra_is_forgotten() -> None:
    """Each extra of pyproject.toml is installed by name, or belongs to one that is."""
    declared = set(re.findall(r"^([a-z-]+) = \[", section("project.optional-dependencies"), re.M))
    within = {"dev-redis": "demo", "test": "browser", "dev": "test"}

    assert declared == {*EXTRAS, DEMO, *OWN_EXTRAS, *within}
    for extra, outer in within.items():
        bracket = re.compile(rf'^{outer} = \[.*?"vwo-celery\[[\w,-]*\b{extra}\b', re.M | re.S)
        assert bracket.search(PYPROJECT) or f'{extra} = ["vwo-celery[{outer}]"]' in PYPROJECT


def section(name: str) -> str:
    """Text of a table of pyproject.toml."""
    return PYPROJECT.partition(f"[{name}]\n")[2].partition("\n[")[0]


def test_each_extra_has_a_use() -> None:
    """The smoke program does something with every extra that users install."""
    uses = SMOKE.read_text("utf-8").partition("USES:")[2].partition("}")[0]

    assert set(re.findall(r'"([a-z]+)": use_', uses)) == {"core", *EXTRAS}


def test_a_file_too_much_or_too_few_is_found() -> None:
    """An sdist holds the tracked files of the package and those named beside it, and no others."""
    tracked = ["README.md", "vwo_celery/a.py", "docs/README.md", "tests/data/capture.json"]
    right = {"README.md", "vwo_celery/a.py", "PKG-INFO", "pyproject.toml", ".gitignore"}

    assert misplaced(right, tracked) == []
    assert misplaced(right | {"docs/README.md"}, tracked) == ["docs/README.md is too much"]
    assert misplaced(right | {"vwo_celery/.env"}, tracked) == ["vwo_celery/.env is too much"]
    assert misplaced(right - {"vwo_celery/a.py"}, tracked) == ["vwo_celery/a.py is missing"]


def test_builds_that_differ_are_found(tmp_path: Path) -> None:
    """A byte, or a file that only one build has."""
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "same").write_bytes(b"a")
        (folder / "different").write_bytes(folder.name.encode())
    (other / "extra").touch()

    assert differences(one, other) == ["different", "extra"]


def test_the_index_serves_what_was_built(tmp_path: Path) -> None:
    """The project's page links both files with their digests, and the links lead to them."""
    built = Built(tmp_path / "vwo_celery-9-py3-none-any.whl", tmp_path / "vwo_celery-9.tar.gz")
    for path in (built.wheel, built.sdist):
        path.write_bytes(path.name.encode())

    with served(make_index(tmp_path / "index", built)) as url:
        page = get(f"{url}vwo-celery/").decode()
        links = dict(re.findall(r'href="([^"#]+)#sha256=(\w+)"', page))
        contents = {name: get(f"{url}vwo-celery/{name}") for name in links}

    assert contents == {path.name: path.name.encode() for path in (built.wheel, built.sdist)}
    assert all(hashlib.sha256(contents[name]).hexdigest() == links[name] for name in links)


def get(url: str) -> bytes:
    """Body of a page on loopback."""
    with urllib.request.urlopen(url) as response:
        body: bytes = response.read()
    return body


def test_a_line_runs_only_after_those_that_it_needs() -> None:
    """If the build fails, nothing is installed, and the rest is still checked; all is counted."""

    def fail() -> str:
        raise Refused("no")

    steps = [
        Line("build", fail), Line("install", lambda: "", ("build",)), Line("other", lambda: ""),
        Line("last", lambda: "", ("build", "other", "install")),
    ]  # fmt: skip
    ended = run_lines(steps, QUIET)

    assert [each.verdict for each in ended] == ["FAILED", "not run", "passed", "not run"]
    assert [ended[1].note, ended[3].note] == ["needs build", "needs build and 1 more"]
    assert counted(ended) == "1 passed, 1 FAILED, 2 not run"
    assert not passed(ended)
    assert not passed([])


def test_the_workflow_signs_the_bill_that_the_rehearsal_writes() -> None:
    """The workflow names the bill of all extras on the newest Python that it installs."""
    text = WORKFLOW.read_text("utf-8")
    newest = re.findall(r"^ +(3\.\d+)$", text, re.M)[-1]

    assert f"sbom-path: sbom/vwo-celery-py{newest}-{ALL}.cdx.json" in text


def test_the_workflow_pins_and_gives_few_rights() -> None:
    """Each action is a full commit with its release beside it; only what is signed may say who it is."""
    text = WORKFLOW.read_text("utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    actions = re.findall(r"^ +- uses: .*|^ +uses: .*", text, re.M)

    assert [
        each for each in actions if not re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", each)
    ] == []
    assert yaml.safe_load(text)["permissions"] == {}
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert jobs["publish"]["permissions"] == {"id-token": "write", "attestations": "write"}
    assert "secrets." not in text


def test_the_workflow_repeats_no_step_of_ours() -> None:
    """It builds by `make release`, and publishes from the folder that this made."""
    steps = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["build"]["steps"]

    commands = [step["run"] for step in steps if "run" in step]
    assert commands[0] == "make release"
    assert len(commands) == 2
    assert not [each for each in commands if re.search(r"\bpip\b|\bbuild\b -|twine", each)]


@pytest.mark.parametrize("name", ["check-wheel-contents", "twine", "cyclonedx-bom", "zizmor"])
def test_the_tools_are_declared(name: str) -> None:
    """`make release` makes its environment of the extra `release`."""
    assert re.search(rf'^ +"{name}>=', PYPROJECT.partition("\nrelease = [")[2], re.M)
