"""Whose events the relay takes, and to which queue they go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.relays import ACCOUNT, FME, KEY, LEGACY, all_stored, relaying, stored
from vwo_celery.connections import open_client
from vwo_celery.errors import SettingsError
from vwo_celery.queue.fleet import Fleet
from vwo_celery.relay import Access
from vwo_celery.relay.destinations import MOST_DESTINATIONS
from vwo_celery.relay.telling.counts import counted

pytestmark = pytest.mark.declared_keys(
    "open", "watched", "ready", "info", "batch", "slots", "wakeups"
)

OTHER = "c" * 32
BODY = b'{"ev":[{"d":{"n":1}}]}'


def target(key: str = KEY, account: str = ACCOUNT, **query: str) -> str:
    """A batch request's target."""
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return f"/server-side/batch-events-v2?a={account}&env={key}{more}"


# -- whose


@pytest.mark.parametrize(
    ("account", "key", "status"),
    [
        (ACCOUNT, KEY, 200), (ACCOUNT, OTHER, 400), ("2", KEY, 400), ("2", OTHER, 200), ("3", "any", 200),
        (ACCOUNT, "*", 400),
    ],
)  # fmt: skip
def test_only_those_that_are_named_may_send(
    account: str, key: str, status: int, redis_url: str
) -> None:
    """Account and key belong together; * is any key of its account, and no key itself."""
    accounts = {ACCOUNT: [KEY], "2": [OTHER], "3": "*"}
    with relaying(redis_url, accounts=accounts) as relay:
        answers = [
            relay.post(target(key, account), BODY),
            relay.post(f"/events/t?en=x&a={account}&env={key}&sn=vwo-fme-x", b'{"d":{}}'),
            relay.get(
                f"/server-side/push?account_id={account}&env={key}&u=A&sId=1&tags=%7B%7D",
            ),
        ]

    assert [answer.status for answer in answers] == [status] * 3
    assert len(all_stored(redis_url)) == (3 if status == 200 else 0)


def test_a_key_in_the_header_alone_counts(redis_url: str) -> None:
    """The header is the key where the query has none."""
    with relaying(redis_url, accounts={ACCOUNT: [KEY]}) as relay:
        bare = f"/server-side/batch-events-v2?a={ACCOUNT}"
        assert relay.post(bare, BODY, {"Authorization": KEY}).status == 200
        assert relay.post(bare, BODY, {"Authorization": OTHER}).status == 400
        assert relay.post(bare, BODY).status == 400


def test_settings_and_file_name_accounts(tmp_path: Path) -> None:
    """Both lists count; the file is lines with comments, or JSON."""
    lines, document = tmp_path / "lines", tmp_path / "document"
    marked = tmp_path / "marked"
    lines.write_text("# ours\n888888 = x\n".replace(" = ", "=") + "888888=y # two\n\n2=*\n")
    document.write_text(json.dumps({"888888": ["x", "y"], "2": "*", "3": {"keys": ["z"]}}))
    marked.write_text(lines.read_text(), "utf-8-sig")  # as editors of Windows write it

    for path in (lines, document, marked):
        access = Access({"888888": ["given"]}, str(path))
        allowed = [("888888", "x"), ("888888", "y"), ("888888", "given"), ("2", "any")]
        assert [pair for pair in allowed if not access.allows(*pair)] == []
        assert not access.allows("888888", "z")
        assert not access.is_open
        assert access.open_accounts == ["2"]


def test_an_accounts_batches_are_its_own(tmp_path: Path, redis_url: str) -> None:
    """Batch options of an account, in any SDK's spelling, count for its queues; the others' do not."""
    file = tmp_path / "accounts"
    android = {"batchMinSize": 2, "batchUploadTimeInterval": 30_000}
    file.write_text(json.dumps({"1": {"keys": [KEY], "batch_event_data": android}, "2": [KEY]}))
    with relaying(
        redis_url, accounts={}, relay_accounts_file=str(file), relay_events_per_request=7
    ) as relay:
        for account in ("1", "2"):
            assert relay.post(target(account=account), BODY).status == 200

    client = open_client(redis_url, timeout_seconds=5)
    found = Fleet(client, "vwo").registrations().readable.values()
    limits = {str(each.destination.account_id): each.limits for each in found}
    client.close()
    assert (limits["1"].events_per_request, limits["1"].interval_ms) == (2, 30_000)
    assert (limits["2"].events_per_request, limits["2"].interval_ms) == (7, 600_000)


@pytest.mark.parametrize(
    "text",
    [
        "", "# nothing\n", "{}", "{", '{"888888": []}', '{"888888": [1]}', '{"shop": ["sec-ret"]}',
        '{"888888": ["sec ret"]}', "888888 sec-ret", "888888=sec ret", '{"1=a": ["sec-ret"]}',
        '{"888888": {"keys": ["sec-ret"], "batch_event_data": {"batchMinSize": 0}}}', '{"888888": 5}',
        '{"888888": ["x"], "888888": ["y"]}', '{"888888": {"keys": ["x"], "sec-ret": 1, "sec-ret": 2}}',
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_and_shows_no_key(text: str, tmp_path: Path) -> None:
    """The error names the file or the option, and nothing of what may be a key."""
    file = tmp_path / "accounts"
    file.write_text(text)

    with pytest.raises(SettingsError) as wrong:
        Access(None, str(file))

    assert "sec" not in str(wrong.value).replace("seconds", "")


def test_a_file_that_cannot_be_read_again_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a mistake in the file, who could send still can; the log says why."""
    file = tmp_path / "accounts"
    file.write_text("888888=x")
    access = Access(None, str(file))

    file.write_text("888888 y")
    access.reread_or_warn()
    assert access.allows("888888", "x")
    assert "the accounts stay as they were" in caplog.text

    file.write_text("888888=y")
    access.reread_or_warn()
    assert access.allows("888888", "y")
    assert not access.allows("888888", "x")
    assert "y" not in repr(access).replace("everybody", "")


# -- where


def test_what_an_sdk_said_makes_the_destination(redis_url: str) -> None:
    """Name, version, region and host tell queues apart; order, random parts and escapes do not."""
    with relaying(redis_url) as relay:
        for path in (
            target(sn="a-fme", sv="1"), target(sv="1", sn="a-fme", r="0.5"),
            target(sn="a%2dfme", sv="1"),
            target(sn="a-fme", sv="2"), f"/eu01{target(sn='a-fme', sv='1')}", target(sn="a-fme"),
            target(sn="", sv=""), target(), target(sn="wingify-fme-x", sv="1"),
        ):  # fmt: skip
            assert relay.post(path, BODY).status == 200

    found = stored(redis_url)
    assert len(found) == 7
    assert sum(len(events) for events in found.values()) == 9
    assert sorted(destination.region for destination in found) == ["", "", "", "", "", "", "eu01"]


def test_an_upstream_stands_for_vwos_hosts(redis_url: str) -> None:
    """Whatever host the SDK meant, workers send to the upstream."""
    with relaying(redis_url, relay_upstream="http://gateway.example:8000") as relay:
        relay.post(target(sn="wingify-fme-x", sv="1"), BODY)
        relay.post(f"/eu01{LEGACY}", b'{"ev":[{}]}')

    urls = sorted(destination.url.partition("?")[0] for destination in stored(redis_url))
    assert urls == [
        "http://gateway.example:8000/eu01/server-side/batch-events",
        "http://gateway.example:8000/server-side/batch-events-v2",
    ]


def test_versions_beyond_the_bound_go_to_their_sdk(redis_url: str) -> None:
    """One account and key has a bounded number of queues; no event goes under another SDK's name."""
    before = counted.folded
    with relaying(redis_url) as relay:
        for version in range(40):
            assert relay.post(target(sn="a-fme", sv=str(version)), BODY).status == 200
        for number in range(8):
            assert relay.post(target(sn=f"b{number}-fme", sv="1"), BODY).status == 200
        refused = relay.post(target(sn="c-fme", sv="1"), BODY)
        other_key = relay.post(target(OTHER, sn="c-fme", sv="1"), BODY)
        again = relay.post(target(sn="a-fme", sv="99"), BODY)

    found = stored(redis_url)
    of_key = [destination for destination in found if destination.sdk_key == KEY]
    assert (refused.status, other_key.status, again.status) == (503, 200, 200)
    assert len(of_key) == MOST_DESTINATIONS
    assert {destination.sdk[0] for destination in of_key} == {
        "a-fme",
        *(f"b{n}-fme" for n in range(8)),
    }
    assert sum(len(found[each]) for each in of_key if each.sdk[0] == "a-fme") == 41
    assert counted.folded - before == 17


def test_no_region_is_folded(redis_url: str) -> None:
    """An event of another region never goes to a queue that exists."""
    with relaying(redis_url) as relay:
        statuses = [relay.post(f"/r{n}{FME}", BODY).status for n in range(MOST_DESTINATIONS + 2)]

    assert statuses == [200] * MOST_DESTINATIONS + [503] * 2
    assert {len(events) for events in stored(redis_url).values()} == {1}


@pytest.mark.parametrize("value", ["%00", "%0a", "a%7f"])
def test_a_name_that_no_request_line_carries(value: str, redis_url: str) -> None:
    """A name with characters that are not printable is refused."""
    with relaying(redis_url) as relay:
        assert relay.post(target(sn=value), BODY).status == 400

    assert all_stored(redis_url) == []


def test_an_event_of_an_old_sdk_is_known_by_what_it_holds(redis_url: str) -> None:
    """Ruby and old Node name no SDK in the query of an event: the event does; the query counts first."""
    bare = f"/events/t?en=x&a={ACCOUNT}&env={KEY}"

    def named(name: Any) -> bytes:
        return json.dumps({"d": {"event": {"props": {"vwo_sdkName": name}}}}).encode()

    with relaying(redis_url) as relay:
        for body in (named("vwo-fme-ruby-sdk"), named("vwo-ruby-sdk"), named(5), b'{"d":{}}'):
            assert relay.post(bare, body).status == 200
        assert relay.post(f"{bare}&sn=vwo-ruby-sdk", named("vwo-fme-ruby-sdk")).status == 200

    counts = {
        destination.generation: len(events) for destination, events in stored(redis_url).items()
    }
    assert counts == {"fme": 1, "single": 4}
