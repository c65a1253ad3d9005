"""Settings as they are kept: one form for all that mean the same, and what follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vwo_celery.settings import Settings


def test_what_is_written_in_several_forms_is_kept_in_one() -> None:
    """Values have one form: hosts in lower case, ~ expanded, a path as text, seconds as floats."""
    settings = Settings(
        allowed_hosts=["A.Example:8443"],  # type: ignore[arg-type]
        spool_dir="~/spool",
        lease_seconds=90,
    )

    assert settings.allowed_hosts == ("a.example:8443",)
    assert settings.spool_dir == "/home/someone/spool"
    assert Settings.load(spool_dir=Path("/spool")).spool_dir == "/spool"
    assert isinstance(settings.lease_seconds, float)


@pytest.mark.parametrize(
    ("state_home", "folder"),
    [("/state", "/state/vwo-celery"), ("relative", "/home/someone/.local/state/vwo-celery")],
)
def test_the_spool_is_in_the_users_state_folder(
    state_home: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool is in XDG_STATE_HOME; a relative path there is ignored, as its specification demands."""
    monkeypatch.setenv("XDG_STATE_HOME", state_home)

    assert Settings().spool_dir == folder


def test_settings_are_frozen_and_hashable() -> None:
    """Equal settings are one key of a dict, and cannot be changed."""
    settings = Settings(allowed_hosts=["a"])  # type: ignore[arg-type]

    assert {settings: 1}[Settings.load(allowed_hosts=("A",))] == 1
    with pytest.raises(AttributeError):
        settings.shards = 2  # type: ignore[misc]


def test_celerys_broker_is_redis_unless_told() -> None:
    """One URL serves the usual installation: Celery's broker is the queue's Redis by default."""
    assert Settings(redis_url="redis://one").effective_broker_url == "redis://one"
    assert Settings(broker_url="amqp://mq").effective_broker_url == "amqp://mq"
