"""Redis URLs: one parser, and an identity on which the names of stored spool files depend."""

from __future__ import annotations

from typing import Any

import pytest

from vwo_celery.settings.redis_url import RedisUrl, address_of_server
from vwo_celery.spool.files import address_of, spool_files

#: Address that release 0.1 derived from each URL: names of stored spool files are digests of it.
ADDRESSES = [
    ("redis://localhost:6379/0", "  localhost:6379  0"),
    ("redis://localhost", "  localhost:6379  0"),
    ("redis://localhost/", "  localhost:6379  0"),
    ("redis://localhost/3", "  localhost:6379  3"),
    ("redis://localhost?db=3", "  localhost:6379  3"),
    ("redis://localhost/1?db=3", "  localhost:6379  3"),
    ("redis://localhost/1?db=", "  localhost:6379  1"),
    ("redis://localhost/1/", "  localhost:6379  1"),
    ("redis://:p%40ss@cache:6380/2", "  cache:6380  2"),
    ("redis://ann@cache", " ann cache:6379  0"),
    ("redis://a%40b:p@cache/1", " a%40b cache:6379  1"),
    ("redis://ann:p@ss@cache", " ann cache:6379  0"),
    ("redis://[::1]:7000/1", "  [::1]:7000  1"),
    ("redis://[::1]/1", "  [::1]:6379  1"),
    ("redis://", "  :6379  0"),
    ("redis:///1", "  :6379  1"),
    ("redis://:1", "  :1  0"),
    ("redis://host?username=u&password=p%2Fw&socket_timeout=3", "  host:6379  0"),
    ("redis://ann@host/1?password=p%2Fw&db=2", " ann host:6379  2"),
    ("redis://host?password=", "  host:6379  0"),
    ("redis://Host.Example:06379", "  Host.Example:06379  0"),
    ("redis://host?db=1&db=2", "  host:6379  1"),
    ("rediss://cache:6380/1?ssl_cert_reqs=none", "  cache:6380  1"),
    ("rediss://:s,;@cache", "  cache:6379  0"),
    ("unix:///run/redis.sock", "  /run/redis.sock  0"),
    ("unix:///run/redis.sock?db=2", "  /run/redis.sock  2"),
    ("unix://ann:pw@/run/redis.sock?db=2&password=x", " ann /run/redis.sock  2"),
    ("unix:///run/redis.sock?password=x&username=b", "  /run/redis.sock  0"),
    ("unix:///run/r%20s.sock", "  /run/r%20s.sock  0"),
    ("unix://run/redis.sock", "  /redis.sock  0"),
    ("redis+sentinel://a:1,b/events/2", "sentinel  a:1,b events/2 0"),
    ("redis+sentinel://a", "sentinel  a  0"),
    ("redis+sentinel://a,b:26380", "sentinel  a,b:26380  0"),
    ("redis+sentinel://a/", "sentinel  a  0"),
    ("redis+sentinel://a//2", "sentinel  a 2 0"),
    (
        "redis+sentinel://ann:p%40ss@a,b,c/events?sentinel_password=s3cret&sentinel_username=bob",
        "sentinel ann a,b,c events 0",
    ),
    ("rediss+sentinel://:p,w@a:1,b:2/events/1?db=4", "sentinel  a:1,b:2 events/1 4"),
    ("redis+sentinel://[::1]:26379,b/events", "sentinel  [::1]:26379,b events 0"),
    ("redis+cluster://a:7000,b:7001", "cluster  a:7000,b:7001  0"),
    ("redis+cluster://:p,w@a:7000,b:7001/0", "cluster  a:7000,b:7001 0 0"),
    ("rediss+cluster://a,b?ssl_cert_reqs=none", "cluster  a,b  0"),
    ("redis+cluster://a/", "cluster  a  0"),
    ("redis+cluster://[::1]:7000,[::2]:7001", "cluster  [::1]:7000,[::2]:7001  0"),
    ("redis://ho\tst/1", "  host:6379  1"),
    ("redis://host/1", "  host:6379  1"),
]
BROKERS = [
    ("redis://cache:6380/2", "redis://cache:6380/2"),
    ("redis://ann:p%40ss@cache", "redis://ann:p%40ss@cache"),
    (
        "redis://host?username=u&password=p%2Fw&socket_timeout=3",
        "redis://u:p%2Fw@host",
    ),
    ("redis://ann@host/1?password=p%2Fw&db=2", "redis://ann:p%2Fw@host/2"),
    ("redis://host?password=", "redis://host"),
    ("redis://host/1?db=2&decode_responses=true&protocol=3&max_connections=4", "redis://host/2"),
    ("rediss://host", "rediss://host?ssl_cert_reqs=required&ssl_check_hostname=true"),
    (
        "rediss://host/1?ssl_cert_reqs=CERT_NONE",
        "rediss://host/1?ssl_cert_reqs=none&ssl_check_hostname=false",
    ),
    (
        "rediss://host?ssl_ca_certs=/a%20b&db=3&ssl_check_hostname=no",
        "rediss://host/3?ssl_cert_reqs=required&ssl_check_hostname=false&ssl_ca_certs=%2Fa+b",
    ),
    ("unix:///run/redis.sock", "redis+socket:///run/redis.sock"),
    ("unix:///run/redis.sock?db=2", "redis+socket:///run/redis.sock?virtual_host=2"),
    (
        "unix://ann:pw@/run/redis.sock?db=2&password=x",
        "redis+socket://ann:pw@/run/redis.sock?virtual_host=2",
    ),
    ("unix:///run/redis.sock?password=x&username=b", "redis+socket://b:x@/run/redis.sock"),
    ("unix:///run/r%20s.sock", "redis+socket:///run/r%20s.sock"),
    ("unix://run/redis.sock", "redis+socket://run/redis.sock"),
]


@pytest.mark.parametrize(("url", "address"), ADDRESSES)
def test_an_address_never_changes(url: str, address: str) -> None:
    """The address of a URL never changes: a new release finds the spool files of the one before."""
    assert RedisUrl.parse(url).address() == address
    assert address_of(url) == address
    assert address_of(url, object()) == f"given {address}"


def test_a_spool_file_keeps_its_name() -> None:
    """A spool file keeps its name, spelled out here."""
    files = spool_files("/spool", "vwo", address_of("redis://localhost:6379/0"))

    assert files.pattern == "/spool/vwo-c12b0dd6024c*.sqlite3"


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"host": "h", "port": 6380, "db": 2}, "redis://h:6380/2"),
        ({"username": "me", "password": "secret"}, "redis://me@localhost"),
        ({"path": "/run/a.sock", "db": 1}, "unix:///run/a.sock?db=1"),
    ],
)
def test_a_servers_address_is_that_of_its_url(options: dict[str, Any], url: str) -> None:
    """A client that the application passes has the same spool as the URL of its server."""
    assert address_of_server(options) == RedisUrl.parse(url).address()


@pytest.mark.parametrize(("url", "broker"), BROKERS)
def test_celerys_spelling(url: str, broker: str) -> None:
    """In Celery's spelling a password is before the host, and a socket's database has another name."""
    assert RedisUrl.parse(url).as_broker_url() == broker


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("redis://h", [("h", 6379)]),
        ("redis://:p,w@h:1/2", [("h", 1)]),
        ("redis+cluster://u:p,w@a:7000,b", [("a", 7000), ("b", 6379)]),
        ("redis+cluster://[::1]:7000,[::2]", [("::1", 7000), ("::2", 6379)]),
        ("redis+sentinel://a,[::1]:1/events", [("a", 26379), ("::1", 1)]),
    ],
)
def test_hosts_and_ports(url: str, addresses: list[tuple[str, int]]) -> None:
    """Each host has its port, also if the password has a comma or the host has colons."""
    assert RedisUrl.parse(url).addresses == addresses


@pytest.mark.parametrize(
    ("url", "first"),
    [
        ("rediss+cluster://u:p,w@a:7000,b/0?ssl_cert_reqs=none",
         "rediss://u:p,w@a:7000/0"),
        ("redis+cluster://[::1]:7000,b", "redis://[::1]:7000"),
        ("redis://:p%40@h/1?db=2", "redis://:p%40@h/1"),
        ("unix://u:p@/run/a.sock?db=2", "unix://u:p@/run/a.sock"),
        ("unix://a,b]/run/a.sock", "unix://a,b]/run/a.sock"),
    ],
)  # fmt: skip
def test_the_url_of_the_first_server(url: str, first: str) -> None:
    """redis-py gets the URL of the first server without options: it knows no list of hosts, and reads
    options as it likes.
    """
    assert RedisUrl.parse(url).for_first_server == first


@pytest.mark.parametrize(
    "url",
    [
        "unix://a,b]/run/a.sock", "re\tdis://h", "REDIS://h", "redis://a]b", "redis://h%2e%2e",
        "redis://h%00", "unix://run.sock", "unix://run/a.sock", "unix://", "unix:///run/a.sock#1",
        "redis+sentinel://a,,b", "redis+cluster://a,b,",
    ],
)  # fmt: skip
def test_a_url_that_redis_py_cannot_read_is_refused(url: str) -> None:
    """A URL that redis-py cannot read is refused: redis-py's own error may quote a password, or come
    in a request, or it silently asks another server.
    """
    assert RedisUrl.parse(url).problem()


def test_what_a_sentinels_url_says() -> None:
    """A Sentinel's URL gives login, service, database and options, decoded."""
    url = RedisUrl.parse("redis+sentinel://a%40n:p%2Fw@a/events/2?sentinel_password=s%20x")

    assert url.login_options == {"username": "a@n", "password": "p/w"}
    assert (url.service, url.service_db) == ("events", 2)
    assert url.sentinel_options == {"password": "s x"}
    assert RedisUrl.parse("redis+sentinel://a").service == "mymaster"


def test_a_repr_shows_no_password() -> None:
    """A repr shows no password: objects end up in debuggers and error trackers."""
    url = RedisUrl.parse("redis://ann:s3cret@h/1?password=s3cret")

    assert repr(url) == "RedisUrl('redis://…@h/1?…')"
