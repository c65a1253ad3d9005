"""No password and no key is in a repr of the settings, nor in an error about them."""

from __future__ import annotations

import pytest

from vwo_celery.errors import SettingsError
from vwo_celery.settings import Settings

SECRETS = [
    "redis://:hunter2@host/0",
    "redis://user:hunter2@host/0",
    "rediss://user:hunt@er2:hunter2@host",
    "redis://host/0?password=hunter2",
    "redis+sentinel://:hunter2@a,b/mymaster?sentinel_password=hunter2",
    "unix://:hunter2@/run/redis.sock",
    "redis://:\nhunter2@host",
]
#: Of these URLs, urllib takes half of the password for a port, a path or a fragment, and quotes it.
UNREADABLE = [
    "redis://:hunter/2hunter2@host",
    "redis://user:hunter2/hunter2@host:6379/0",
    "redis://:hunter2#hunter2@host:6379/0",
    "redis://:hunter2?hunter2@host:6379/0",
    "redis://:1234/hunter2@host:6379/0",
    "redis://[user:hunter2@host:6379/0",
    "redis://user:hunter2@host:port/0",
    "redis://user:hunter2@host:65536/0",
    "redis://user:hunter2@host,other/0",
    "redis://user:hunter2@host/zero",
    "redis+sentinel://:hunter2/hunter2@a,b/mymaster",
    "redis+sentinel://:hunter2@a:x,b/mymaster",
    "redis+sentinel://:hunter2@a,b/mymaster/zero",
    "redis+cluster://:hunter2/hunter2@host",
]


@pytest.mark.parametrize("url", UNREADABLE)
def test_a_url_that_cannot_be_read_is_refused_before_any_library_sees_it(url: str) -> None:
    """The error names the fault and the right form, and contains nothing of the password."""
    with pytest.raises(SettingsError) as wrong:
        Settings.load(redis_url=url)

    assert str(wrong.value).startswith("redis_url cannot be used; a URL that begins with redis")
    assert "percent-encode" in str(wrong.value)
    assert "hunter" not in str(wrong.value)
    assert wrong.value.__suppress_context__ or wrong.value.__context__ is None


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_never_shows(url: str) -> None:
    """A password is in no repr, no rich output, and no error about the URL or another setting."""
    settings = Settings(redis_url=url, broker_url=url)
    wrong_url = url.replace("redis", "http").replace("unix", "http")

    texts = [repr(settings), str(settings), repr(list(settings.__rich_repr__()))]
    for given in (
        {"redis_url": wrong_url},
        {"redis_url": url, "shards": 0},
        {"namespace": url},
    ):
        with pytest.raises(SettingsError) as wrong:
            Settings.load(**given)
        texts.append(str(wrong.value))

    assert [text for text in texts if "hunter2" in text or "hunt@" in text] == []
    assert settings.redis_url == url


@pytest.mark.parametrize("wrong", ["888888=sec ret", "sec ret=888888", "1=a,sec ret"])
def test_a_key_never_shows(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No SDK key of the relay is in a repr, nor in an error about it, wherever it was written."""
    settings = Settings(relay_accounts=("888888=sec-ret",))
    texts = [repr(settings), repr(list(settings.__rich_repr__()))]

    for give in (lambda: Settings(relay_accounts=[wrong]), Settings.load):  # type: ignore[arg-type]
        monkeypatch.setenv("VWO_CELERY_RELAY_ACCOUNTS", wrong)
        with pytest.raises(SettingsError) as error:
            give()
        texts.append(str(error.value))

    assert [text for text in texts if "ret" in text.replace("secret", "")] == []
    assert "'888888=…'" in texts[0]
