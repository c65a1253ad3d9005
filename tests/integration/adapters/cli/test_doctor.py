"""doctor as typed: each check with its remedy, and its exit codes."""

from __future__ import annotations

import re

import pytest

from tools.command_line import NOWHERE, Run, document, flat
from tools.queue_states import HOLDS_SOMETHING, Queues
from vwo_celery.operating import doctor
from vwo_celery.operating.doctor.finding import warn
from vwo_celery.text.wording import how_to_start

pytestmark = pytest.mark.declared_keys(*HOLDS_SOMETHING, "_kombu.*", "*:broker:*")


def test_doctor_prints_each_check_with_its_remedy(queues: Queues, run: Run) -> None:
    """doctor prints each check with its remedy, exits with 1 on problems; its JSON lists the findings."""
    queues.fill(queues.add(), 1)

    text, shape = run("doctor", width=100), run("doctor", "--json")

    assert (text.exit_code, shape.exit_code) == (1, 1)
    assert re.search(r"problem +VC401 +listener +no worker listens", text.stdout)
    assert f"→ {how_to_start('worker')}" in flat(text.stdout)
    assert re.search(r"\d+ problems, \d+ warnings? in \d+ checks", text.stdout)
    for finding in document(shape):
        assert set(finding) == {"id", "check", "state", "what", "remedy"}
        assert finding["state"] in ("ok", "warn", "problem")


def test_doctor_takes_wrong_settings_for_a_finding(
    bare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """doctor reports wrong settings as a finding: it must work when nothing else does."""
    monkeypatch.setenv("VWO_CELERY_LEASE_SECONDS", "5")

    (finding,) = document(result := bare("doctor", "--json"))

    assert result.exit_code == 1
    assert (finding["check"], finding["state"]) == ("settings", "problem")
    assert "lease_seconds must exceed request_timeout_seconds" in finding["what"]
    assert "VWO_CELERY_LEASE_SECONDS" in finding["what"]


def test_doctor_is_strict_where_it_is_asked_to_be(
    run: Run, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning alone exits 0, and 1 with --strict."""
    warned = [warn("VC403", "beat is silent", "start one")]
    monkeypatch.setattr(doctor, "examine", lambda *_: iter(warned))

    assert run("doctor").exit_code == 0
    assert run("doctor", "--strict").exit_code == 1
    assert run("doctor", "--strict", "--json").exit_code == 1


def test_doctor_without_redis_says_so(bare: Run) -> None:
    """Without Redis, doctor reports each unreachable thing once, without password or traceback."""
    result = bare("doctor", "--redis-url", NOWHERE)

    assert result.exit_code == 1
    assert re.search(r"problem +VC2\d\d +redis", result.stdout)
    assert "sekrit" not in result.output
