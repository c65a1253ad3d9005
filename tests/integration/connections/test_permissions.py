"""What a Redis user lacks is named, with the one line that gives it."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py

from tools.command_line import run_command
from tools.redis_users import ALL, USER, Users, what_lacks
from vwo_celery.celery.worker.listener import _end_without_permissions
from vwo_celery.connections import open_worker_client
from vwo_celery.errors import QueueUnavailable
from vwo_celery.operating.doctor.permissions import permission_finding
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.servers.permissions import OPTIONAL_COMMANDS, producer_needs, worker_needs


@pytest.mark.parametrize("command", sorted(worker_needs() - set(OPTIONAL_COMMANDS)))
def test_each_missing_command_is_named(users: Users, command: str) -> None:
    """A try finds the one command that a user may not run, and the printed line gives it back."""
    url = users.make(*ALL, f"-{command.lower().partition(' ')[0]}")

    found = what_lacks(url)
    users.follow(found.remedy)

    assert found.commands == (command,)
    assert command in str(found)
    assert (found.keys, found.channels) == (False, False)
    assert not what_lacks(url)


@pytest.mark.parametrize(
    ("rules", "keys", "channels", "remedy"),
    [
        (("~other:*", "&*", "+@all"), True, False, f"ACL SETUSER {USER} ~vwo:*"),
        (("~vwo:*", "resetchannels", "&other:*", "+@all"), False, True, f"ACL SETUSER {USER} &vwo:*"),
        (("resetchannels", "+@all"), True, True, f"ACL SETUSER {USER} ~vwo:* &vwo:*"),
    ],
)  # fmt: skip
def test_missing_patterns_are_named(
    users: Users, rules: tuple[str, ...], keys: bool, channels: bool, remedy: str
) -> None:
    """Keys and channels that the user may not use are told apart from commands."""
    url = users.make(*rules)

    found = what_lacks(url)
    users.follow(found.remedy)

    assert (found.commands, found.keys, found.channels) == ((), keys, channels)
    assert found.remedy == remedy
    assert not what_lacks(url)


def test_a_user_without_any_right_is_told_all_at_once(users: Users) -> None:
    """A user that may do nothing gets one line with everything."""
    url = users.make("resetchannels")

    first = what_lacks(url)
    users.follow(first.remedy)
    second = what_lacks(url)
    users.follow(second.remedy)

    assert set(first.commands) == worker_needs() - set(OPTIONAL_COMMANDS)
    assert (second.commands, second.keys, second.channels) == ((), True, True)
    assert not what_lacks(url)


def test_what_all_works_without_is_not_asked_for(users: Users) -> None:
    """A user without `@dangerous`, as many managed servers have, lacks nothing, and a worker starts."""
    url = users.make(*ALL, "-@dangerous", "-type")

    _end_without_permissions(Fleet(open_worker_client(url), "vwo"))

    assert not what_lacks(url)


def test_the_try_leaves_nothing_behind(users: Users) -> None:
    """The try leaves no key, also where memory is full."""
    what_lacks(users.make(*ALL))

    assert users.admin.keys("*") == []


def test_a_worker_ends_and_says_what_to_run(users: Users, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that lacks a right ends with the line for ACL SETUSER in its log."""
    url = users.make(*ALL, "-copy")

    with pytest.raises(SystemExit) as ended:
        _end_without_permissions(Fleet(open_worker_client(url), "vwo"))

    assert ended.value.code == 1
    assert f"Run: ACL SETUSER {USER} +copy" in caplog.text
    users.follow(f"ACL SETUSER {USER} +copy")
    _end_without_permissions(Fleet(open_worker_client(url), "vwo"))


def test_a_worker_starts_without_redis(caplog: pytest.LogCaptureFixture) -> None:
    """A worker whose Redis is away starts, and serves once it is back."""

    class Away(Fleet):
        @property
        def client(self) -> Any:
            raise redis_py.ConnectionError("refused")

        @client.setter
        def client(self, client: Any) -> None:
            del client

    _end_without_permissions(Away(None, "vwo"))

    assert "without knowing" in caplog.text


def test_the_doctor_tells_who_needs_it(users: Users) -> None:
    """The doctor says whether applications need what is missing, too."""
    url = users.make(*ALL, "-copy")
    of_worker = what_lacks(url)
    users.make(*ALL, "-lpush")
    of_both = what_lacks(url)

    copy = permission_finding(of_worker, what_lacks(url, producer_needs()).commands[1:])
    push = permission_finding(of_both, what_lacks(url, producer_needs()).commands)

    assert (copy.state, push.state) == ("problem", "problem")
    assert "may not run COPY, which workers need" in copy.what
    assert "may not run LPUSH, which workers and applications need" in push.what
    assert f"ACL SETUSER {USER} +lpush" in push.remedy
    users.make(*ALL)
    assert permission_finding(what_lacks(url), ()).state == "ok"


def test_nobody_is_told_to_start_a_redis_that_denies(users: Users) -> None:
    """Where Redis denies a command, each of ours says so, and says to give the user its rights."""
    url = users.make(*ALL, "-smembers", "-publish")

    said = {
        name: run_command([name, "--redis-url", url]) for name in ("status", "health", "doctor")
    }

    for each in said.values():
        text = " ".join((each.stdout + each.stderr).split()).lower()
        assert each.exit_code == 1
        assert "may not run" in text or "no permissions to run the 'smembers'" in text
        assert f"acl setuser {USER} +publish +smembers" in text
        assert "start it, or" not in text
        assert "start redis" not in text
    doctor = " ".join(said["doctor"].stdout.split())
    assert "may not run PUBLISH, SMEMBERS, which workers need" in doctor
    assert "give its user Celery's rights" in doctor


def test_an_unreachable_redis_is_no_missing_right(users: Users) -> None:
    """Without an answer of Redis nothing is said about rights."""
    with pytest.raises(QueueUnavailable):
        what_lacks("redis://127.0.0.1:1/0")
