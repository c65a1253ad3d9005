"""Options after the "?" of a Redis URL: read alike for producers, workers and the broker."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
from kombu import Connection
from redis.asyncio import RedisCluster as AsyncCluster
from redis.asyncio import SSLConnection as AsyncSSLConnection

import vwo_celery
from vwo_celery import aio
from vwo_celery.connections.clients import open_async_client, open_client
from vwo_celery.errors import SettingsError
from vwo_celery.settings import Settings
from vwo_celery.settings.redis_options import OPTIONS
from vwo_celery.settings.redis_url import RedisUrl

#: A value of each option, and a wrong one where there can be one.
VALUES = {
    "username": ("ann", None),
    "password": ("p%2Fw", None),
    "db": ("2", "two"),
    "client_name": ("shop", None),
    "max_connections": ("8", "0"),
    "health_check_interval": ("30", "-1"),
    "ssl_cert_reqs": ("CERT_REQUIRED", "CERT_MAYBE"),
    "ssl_check_hostname": ("yes", "perhaps"),
    "ssl_ca_certs": ("/etc/ca.pem", None),
    "ssl_ca_path": ("/etc/ca", None),
    "ssl_ca_data": ("PEM", None),
    "ssl_certfile": ("/etc/me.pem", None),
    "ssl_keyfile": ("/etc/me.key", None),
    "ssl_password": ("key%20word", None),
    "sentinel_username": ("bob", None),
    "sentinel_password": ("s3cret", None),
    "socket_timeout": ("5", "soon"),
    "socket_connect_timeout": ("0.5", "-1"),
    "timeout": ("20", "nan"),
    "socket_keepalive": ("true", "2"),
    "retry_on_timeout": ("True", "often"),
    "retry_on_error": ("TimeoutError", None),
    "decode_responses": ("true", "utf-8"),
    "encoding": ("utf-8", None),
    "encoding_errors": ("strict", None),
    "protocol": ("3", "4"),
    "lib_name": ("mine", None),
    "lib_version": ("1", None),
}
SETS = [name for name in VALUES if VALUES[name][1] is not None]
DESTINATION = vwo_celery.Destination(account_id=1, sdk_key="k" * 32, generation="fme")


def url_with(name: str, text: str, kind: str = "") -> str:
    """A URL with one option, of a scheme that takes it, and with what that one needs beside it."""
    kind = "+sentinel" if name.startswith("sentinel") else kind
    scheme = "rediss" if name.startswith("ssl") else "redis"
    beside = "&ssl_certfile=/etc/me.pem" if name == "ssl_keyfile" else ""
    return f"{scheme}{kind}://127.0.0.1:1?{name}={text}{beside}"


def connection_options(client: Any) -> dict[str, Any]:
    """Options with which a client opens its connections."""
    found: dict[str, Any] = client.connection_pool.connection_kwargs
    return found


def test_the_table_of_this_test_is_complete() -> None:
    """A new option has to be added here, with a value and a wrong one."""
    assert set(VALUES) == set(OPTIONS)


@pytest.mark.parametrize("name", VALUES)
def test_one_url_serves_producer_worker_and_broker(name: str) -> None:
    """Whatever a URL may hold, an application connects, a worker's settings load, and Celery starts."""
    url = url_with(name, VALUES[name][0])

    vwo_celery.connect(DESTINATION, redis_url=url)
    open_client(url, timeout_seconds=1).connection_pool.make_connection()
    settings = Settings(redis_url=url)

    if "+" not in url:
        with Connection(settings.effective_broker_url) as broker:
            assert broker.transport.driver_type == "redis"


@pytest.mark.parametrize("name", SETS)
def test_a_wrong_value_is_refused_where_it_enters(name: str) -> None:
    """A wrong value is refused at connect and as the worker starts; the error names the option."""
    url = url_with(name, VALUES[name][1] or "")

    for load in (Settings.load, lambda **given: vwo_celery.connect(DESTINATION, **given)):
        with pytest.raises(SettingsError, match=f"option {name} must be ") as caught:
            load(redis_url=url)

        assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://h?socket_timeot=5", "unknown.*the options are .*socket_timeout"),
        ("redis://h?db=1&db=2", "db is given twice"),
        ("rediss://h?ssl_keyfile=/k.pem", "ssl_certfile is missing"),
        ("redis://h?ssl_cert_reqs=none", "ssl_cert_reqs needs a scheme that begins with rediss"),
        ("redis://h?sentinel_password=x", "sentinel_password needs redis.sentinel"),
        ("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=true", "contradict"),
        ("redis+cluster://h/1", "no database except 0"),
        ("redis+cluster://h?db=1", "no database except 0"),
        ("redis://redis..svc", "part of its host"),
        (f"redis+sentinel://ok,{'a' * 64}", "part of its host"),
    ],
)
def test_what_nobody_could_use_is_refused(url: str, words: str) -> None:
    """Options that nobody understands, or that contradict the rest, are refused with the remedy."""
    with pytest.raises(SettingsError, match=words):
        Settings(redis_url=url)


@pytest.mark.parametrize("kind", ["", "+sentinel"])
def test_options_reach_the_connections(kind: str) -> None:
    """Login, database, name and TLS reach each connection, and those of the Sentinels theirs."""
    query = (
        "?username=ann&password=p%252Fw&db=2&client_name=shop&health_check_interval=30"
        "&ssl_cert_reqs=CERT_OPTIONAL&ssl_certfile=/me.pem"
    )
    url = f"rediss{kind}://127.0.0.1:1{query}"

    for client in (open_client(url, timeout_seconds=1), open_async_client(url, timeout_seconds=1)):
        found = connection_options(client)

        assert (found["username"], found["password"], found["db"]) == ("ann", "p%2Fw", 2)
        assert (found["client_name"], found["health_check_interval"]) == ("shop", 30)
        assert (found["ssl_cert_reqs"], found["ssl_check_hostname"]) == ("optional", True)
        assert found["ssl_certfile"] == "/me.pem"


def test_the_sentinels_use_tls_as_the_servers_do() -> None:
    """Options of TLS hold for the Sentinels, too; their login is their own."""
    url = "rediss+sentinel://:pw@a,b?ssl_ca_certs=/ca.pem&sentinel_password=s3cret"

    pool = open_client(url, timeout_seconds=1).connection_pool

    for each in pool.sentinel_manager.sentinels:
        found = connection_options(each)
        assert (found["ssl_ca_certs"], found["ssl_check_hostname"]) == ("/ca.pem", True)
        assert found["password"] == "s3cret"


@pytest.mark.parametrize("kind", ["", "+sentinel", "+cluster"])
@pytest.mark.parametrize("name", ["ssl_ca_path", "ssl_password", "ssl_ca_certs"])
def test_asyncio_takes_an_option_or_refuses_it_at_connect(kind: str, name: str) -> None:
    """What asyncio in this redis-py does not understand is refused at connect, with the remedy."""
    url = f"rediss{kind}://127.0.0.1:1?{name}=/x"

    connection = AsyncCluster if kind == "+cluster" else AsyncSSLConnection
    if name in signature(connection).parameters:
        aio.connect(DESTINATION, redis_url=url)

        client = open_async_client(url, timeout_seconds=1)
        options = client.connection_kwargs if kind == "+cluster" else connection_options(client)
        assert options[name] == "/x"
    else:
        with pytest.raises(SettingsError, match="use ssl_ca_certs"):
            aio.connect(DESTINATION, redis_url=url)


@pytest.mark.parametrize("kind", ["", "+sentinel"])
def test_what_is_set_aside_changes_nothing(kind: str) -> None:
    """Timeouts, retries and encodings of a URL that was copied from elsewhere change nothing."""
    aside = [name for name, option in OPTIONS.items() if option.group == "aside"]
    query = "&".join(f"{name}={VALUES[name][0]}" for name in aside)
    plain = f"redis{kind}://127.0.0.1:1"

    for open_one in (open_client, open_async_client):
        full = connection_options(open_one(f"{plain}?{query}", timeout_seconds=0.5))
        bare = connection_options(open_one(plain, timeout_seconds=0.5))

        assert full.keys() == bare.keys()
        assert (full["socket_timeout"], full["protocol"]) == (0.5, 2)
    assert RedisUrl.parse(f"{plain}?{query}").client_options == {}
