"""Redis URLs: the one place that takes them apart.

No I/O; nothing to lose. Libraries quote what they cannot read, such as a "port" that is
half of a password. So a URL is checked when the settings are made, before a library sees it.

redis:// and rediss://HOST:PORT/DB, unix://PATH, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB,
redis+cluster://HOST:PORT,HOST:PORT (rediss+… for TLS). A password in the URL is that of the servers;
that of the Sentinels, if they have one, is the option `sentinel_password`. What may follow a "?" is in
`redis_options`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec

from vwo_celery.settings.redis_options import NO_DATABASE, OPTIONS, problem_of, read_options
from vwo_celery.text.masking import mask_url

SCHEMES: Final = (
    "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster",
)  # fmt: skip
_REST: Final = re.compile(r"(?s)([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:/\[\]\s]*)(?::([0-9]{1,5}))?")
_DEFAULT_PORT: Final = 6379
_DEFAULT_SENTINEL_PORT: Final = 26379
_MOST_PORT: Final = 65_535
_DEFAULT_SERVICE: Final = "mymaster"
#: Paths by kind: the number of a database, for Sentinel after the service.
_PATHS: Final = {"": r"/?[0-9]*/?", "cluster": r"/?[0-9]*/?", "sentinel": r"(/[^/@]*(/[0-9]*)?)?"}
_ENCODE: Final = "in its user and password, percent-encode all characters but letters and digits"


class RedisUrl(msgspec.Struct, frozen=True):
    """The parts of a Redis URL as they are written; made by `parse`. Its repr shows no password.

    Args:
        text: The whole URL.
        scheme: "redis", "rediss" or "unix".
        kind: "" for a single server, "sentinel" or "cluster".
        login: User and password, with a colon between them.
        hosts: Hosts with their ports, separated by commas.
        path: Of the socket for "unix"; else the database, for Sentinel after the service.
        query: Options, without the "?".
        fragment: What follows a "#".
    """

    text: str
    scheme: str
    kind: str
    login: str = ""
    hosts: str = ""
    path: str = ""
    query: str = ""
    fragment: str = ""

    @classmethod
    def parse(cls, text: str) -> RedisUrl:
        """Take *text* apart; never raises, see `problem`."""
        written, _, rest = text.partition("://")
        rest = re.sub(r"[\t\r\n]", "", rest)  # urllib drops them, too
        scheme, _, kind = written.partition("+")
        servers, path, query, fragment = _REST.fullmatch(rest).groups("")  # type: ignore[union-attr]
        login, _, hosts = servers.rpartition("@")
        return cls(text, scheme, kind, login, hosts, path, query, fragment)

    def __repr__(self) -> str:
        return f"RedisUrl({mask_url(self.text)!r})"

    def problem(self) -> str:
        """Say why this URL cannot be used, quoting none of it; "" if it can."""
        if (f"{self.scheme}+{self.kind}" if self.kind else self.scheme) not in SCHEMES:
            return f"but its scheme is none of {', '.join(SCHEMES)}"
        try:
            urlsplit(self.for_first_server)
        except ValueError:
            return f"but its host cannot be read; {_ENCODE}"
        problem = self._problem_of_socket() if self.scheme == "unix" else self._problem_of_servers()
        return problem or problem_of(self.query, tls=self.scheme == "rediss", kind=self.kind)

    def _problem_of_socket(self) -> str:
        if self.hosts or not self.path or self.fragment:
            return "but it must be unix:///PATH, with the whole path of a socket and %23 for a #"
        return ""

    def _problem_of_servers(self) -> str:
        if not self._hosts_are_readable():
            return f"but its host and port cannot be read; {_ENCODE}"
        if self.fragment or not re.fullmatch(_PATHS.get(self.kind, ""), self.path):
            return f"but the part after its host is no database number; {_ENCODE}"
        if not all(_may_be_host(host) for host, _ in self.addresses):
            return (
                "but a part of its host, between two dots, is empty, too long for a name or has a %"
            )
        if len(self.addresses) > 1 and not all(host for host, _ in self.addresses):
            return "but one of its hosts, between two commas, is empty"
        return NO_DATABASE if self.kind == "cluster" and int(self.path.strip("/") or 0) else ""

    def _hosts_are_readable(self) -> bool:
        hosts = self.hosts.split(",")
        ports = [port for _, port in self.addresses]
        return (
            len(ports) == len(hosts)
            and max(ports) <= _MOST_PORT
            and (self.kind != "" or len(hosts) == 1)
        )

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each server, or of each Sentinel, in the order written."""
        default = _DEFAULT_SENTINEL_PORT if self.kind == "sentinel" else _DEFAULT_PORT
        found = [_HOST.fullmatch(host) for host in self.hosts.split(",")]
        return [(each[1].strip("[]"), int(each[2] or default)) for each in found if each]

    @property
    def service(self) -> str:
        """The name under which the Sentinels know the master."""
        return self.path.strip("/").partition("/")[0] or _DEFAULT_SERVICE

    @property
    def service_db(self) -> int:
        """The number of the database after the service."""
        return int(self.path.strip("/").partition("/")[2] or 0)

    @property
    def login_options(self) -> dict[str, Any]:
        """User and password, decoded, for redis-py; those before the host win, as in redis-py."""
        user, _, password = self.login.partition(":")
        given = {"username": unquote(user), "password": unquote(password)}
        options = read_options(self.query)
        found = {name: text or options.get(name, "") for name, text in given.items()}
        return {name: text for name, text in found.items() if text}

    @property
    def client_options(self) -> dict[str, Any]:
        """Options for each connection to the data but its login and TLS, for redis-py."""
        return self._options_of("client", "username", "password")

    @property
    def tls_options(self) -> dict[str, Any]:
        """Options of TLS, for redis-py: the host's name is checked unless the URL says otherwise."""
        if self.scheme != "rediss":
            return {}
        given = self._options_of("tls")
        required = given.get("ssl_cert_reqs", "required")
        return {
            "ssl_cert_reqs": required, "ssl_check_hostname": required != "none", **given
        }  # fmt: skip

    @property
    def sentinel_options(self) -> dict[str, Any]:
        """User and password of the Sentinels, for redis-py."""
        given = self._options_of("sentinel")
        return {name.removeprefix("sentinel_"): text for name, text in given.items()}

    def _options_of(self, group: str, *but: str) -> dict[str, Any]:
        options = read_options(self.query)
        return {
            name: value
            for name, value in options.items()
            if OPTIONS[name].group == group and name not in but
        }

    @property
    def for_first_server(self) -> str:
        """The URL in redis-py's spelling, without options; of several hosts, only the first."""
        login = f"{self.login}@" if self.login else ""
        hosts = self.hosts.partition(",")[0] if self.kind else self.hosts
        return f"{self.scheme}://{login}{hosts}{self.path}"

    def as_broker_url(self) -> str:
        """Spell the URL of a single server as Celery does, with what Celery understands of it.

        Login and database move to where Celery reads them, and masks them. TLS is spelled out, since
        Celery checks neither certificate nor name by itself.
        """
        login, db = self.login_options, self.client_options.get("db")
        user, password = (quote(login.get(each, ""), safe="") for each in ("username", "password"))
        prefix = f"{user}:{password}@" if password else f"{user}@" if user else ""
        if self.scheme == "unix":
            database = "" if db is None else f"?virtual_host={db}"
            return f"redis+socket://{prefix}{self.hosts}{self.path}{database}"
        path = self.path if db is None else f"/{db}"
        tls = {name: str(value).lower() if value in (True, False) else value
               for name, value in self.tls_options.items()}  # fmt: skip
        query = f"?{urlencode(tls)}" if tls else ""
        return f"{self.scheme}://{prefix}{self.hosts}{path}{query}"

    def address(self) -> str:
        """Identify the Redis by servers, user and database, without the password.

        Names of stored spool files are made from it, so it must not change from release to release.
        """
        user = self.login.partition(":")[0]
        db = next((value for name, value in parse_qsl(self.query) if name == "db"), "")
        if self.scheme == "unix":
            return _address("", user, self.path, "", db)
        path = self.path.strip("/")
        if self.kind:
            return _address(self.kind, user, self.hosts, path, db)
        has_port = self.hosts.rpartition(":")[2].isdecimal()
        hosts = self.hosts if has_port else f"{self.hosts}:{_DEFAULT_PORT}"
        return _address("", user, hosts, "", db or path)


def _may_be_host(host: str) -> bool:
    """Whether a name can be looked up at all: Python refuses one such as "redis..svc"."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return "%" not in host or ":" in host  # redis-py decodes it; after a ":" it is IPv6's zone


def address_of_server(options: Mapping[str, Any]) -> str:
    """The `RedisUrl.address` of the single server that redis-py reaches with these options."""
    host = f"{options.get('host', 'localhost')}:{options.get('port', _DEFAULT_PORT)}"
    return _address("", options.get("username"), options.get("path") or host, "", options.get("db"))


def _address(kind: str, user: Any, hosts: str, path: str, db: Any) -> str:
    return f"{kind} {user or ''} {hosts} {path} {db or 0}"


def scheme_of(url: str) -> str:
    """The scheme of a broker's URL, such as "amqp" or "redis+socket"; of several, the first one's."""
    return urlsplit(url).scheme


@lru_cache(maxsize=16)
def host_of(text: str) -> str:
    """The host of a URL of a single server, the socket for "unix"; "" where several may answer."""
    url = RedisUrl.parse(text)
    if url.scheme == "unix":
        return url.path
    return url.addresses[0][0] if not url.kind and url.addresses else ""
