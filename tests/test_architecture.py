"""Rules about the code itself: who imports whom, how long a module is, what a script says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio
import redis.client

import vwo_celery

PACKAGE = Path(vwo_celery.__file__).parent
TESTS = Path(__file__).parent
MOST_LINES = 400

#: From the roof down: a room imports only from rows below its own; rooms in one row do not know each
#: other. A room is a package or a module at the root; "" is the root itself.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("django", "demo"),
    ("cli",),
    ("", "aio", "tasks"),
    ("celery", "sdk"),
    ("producing", "delivering", "operating"),
    ("spool",),
    ("queue",),
    ("connections", "event_kinds", "signals"),
    ("settings", "sending"),
    ("destinations", "events", "testing"),
    ("errors", "receipts", "text", "logs", "forks"),
)
#: The rooms that may import a library; whoever else needs what it offers asks one of them.
OWNERS: dict[str, frozenset[str]] = {
    "redis": frozenset({"connections", "queue"}),
    "requests": frozenset({"sending"}),
    "urllib3": frozenset({"sending"}),
    "sqlite3": frozenset({"spool"}),
    "celery": frozenset({"celery", "signals", "django", "demo"}),
    "kombu": frozenset({"celery"}),
    "click": frozenset({"cli", "demo", "testing"}),
    "rich": frozenset({"cli", "demo"}),
    "django": frozenset({"django"}),
}

#: The modules that may ask for a logger: ours are made in one, the other filters what urllib3 logs.
LOGGERS = frozenset({"logs", "sending.sender"})
#: The modules that may take URLs apart: those of Redis in one of them, the others HTTP's.
URL_READERS = frozenset({"settings.redis_url", "destinations", "testing.standin.rules"})

LUA_ARGUMENT = re.compile(r"\b(KEYS|ARGV)\[(\d+)\]")


def modules() -> dict[str, Path]:
    """Dotted name within the package ("" is the package itself) to file."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(part for part in parts if part != "__init__")] = path
    return names


MODULES = modules()
SCRIPTS = sorted(PACKAGE.rglob("*.lua"))


def room_of(module: str) -> str:
    """The room of a module: the first part of its name, within the package."""
    return module.partition(".")[0]


def floor_of(module: str) -> int:
    """How deep a module's room stands; -1 for one without a floor, which another test reports."""
    return next((i for i, row in enumerate(FLOORS) if room_of(module) in row), -1)


def imports(module: str, tree: ast.AST, *, package: bool) -> Iterator[str]:
    """Every name that *module* imports, absolute, wherever in the module that is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = ["vwo_celery", *module.split(".")][: None if package else -1]
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*(part for part in kept if part), *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_of(module: str, path: Path) -> list[str]:
    """Every name that a file imports, also for the type checker alone."""
    tree = ast.parse(path.read_text("utf-8"))
    return list(imports(module, tree, package=path.name == "__init__.py"))


def libraries_of(module: str, path: Path) -> list[str]:
    """The libraries that a file loads; what it imports for the type checker alone is not loaded."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names = imports(module, tree, package=path.name == "__init__.py")
    return [name.partition(".")[0] for name in names]


def own_module(name: str) -> str | None:
    """Which of our modules an imported name means; None if it is not ours."""
    if name != "vwo_celery" and not name.startswith("vwo_celery."):
        return None
    inner = name.removeprefix("vwo_celery").removeprefix(".")
    while inner and inner not in MODULES:
        inner = inner.rpartition(".")[0]
    return inner


def wrong_imports(module: str, path: Path) -> list[str]:
    """What *module* imports from its own floor or from above."""
    wrong = []
    for name in imports_of(module, path):
        own = own_module(name)
        if own is None or room_of(own) == room_of(module):
            continue
        if floor_of(own) <= floor_of(module):
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("module", MODULES)
def test_every_room_has_a_floor(module: str) -> None:
    """A new room says where it stands, or the import rule would not hold for it."""
    assert floor_of(module) >= 0, f"put {room_of(module)} into FLOORS"


def test_every_floor_is_there() -> None:
    """FLOORS names no room that is gone."""
    rooms = {room_of(module) for module in MODULES}

    assert {room for row in FLOORS for room in row} == rooms


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """A room imports only from the floors below its own."""
    assert not wrong_imports(module, MODULES[module])


def test_the_import_rule_sees_imports_in_functions(tmp_path: Path) -> None:
    """An import inside a function, a relative one, or one for types only, is an import."""
    sample = tmp_path / "settings.py"
    sample.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from vwo_celery.queue.fleet import Fleet\n"
        "def f():\n"
        "    from .producing import producer\n"
        "    from vwo_celery.errors import EventError\n"
    )

    wrong = wrong_imports("settings", sample)

    assert sorted(wrong) == ["vwo_celery.producing.producer", "vwo_celery.queue.fleet.Fleet"]


@pytest.mark.parametrize("module", MODULES)
def test_libraries_have_owners(module: str) -> None:
    """Only sending/ knows an HTTP library, only spool/ a database, and so on."""
    used = set(libraries_of(module, MODULES[module]))

    assert not {each for each in used & set(OWNERS) if room_of(module) not in OWNERS[each]}


def test_the_library_rule_leaves_types_alone(tmp_path: Path) -> None:
    """What is imported for the type checker is not loaded; what a function imports is."""
    sample = tmp_path / "sample.py"
    sample.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from celery import Celery\n"
        "def f():\n"
        "    import requests.adapters\n"
    )

    assert libraries_of("sample", sample) == ["typing", "requests"]


def test_owners_use_what_they_own() -> None:
    """OWNERS lists no room that has stopped using a library."""
    used = {
        (name, room_of(module))
        for module, path in MODULES.items()
        for name in libraries_of(module, path)
    }

    assert {(name, room) for name, rooms in OWNERS.items() for room in rooms} <= used


def redis_words() -> frozenset[str]:
    """Every public name of redis-py's clients, but for what opens, hands on and closes one."""
    kinds = (redis.Redis, redis.RedisCluster, redis.client.Pipeline, redis.client.PubSub)
    async_kinds = (redis.asyncio.Redis, redis.asyncio.RedisCluster)
    names = {name for kind in (*kinds, *async_kinds) for name in dir(kind) if name[0] != "_"}
    return frozenset(names - {"from_url", "client", "cluster", "close", "aclose"})


#: Names of redis-py's that other things have too; they are commands where a client has them.
SHARED_WORDS = frozenset({
    "append", "command", "copy", "delete", "discard", "echo", "execute", "exists", "get", "info",
    "json", "keys", "lock", "move", "ping", "publish", "rename", "reset", "role", "save", "select",
    "set", "shutdown", "sort", "sync", "time", "transaction", "type", "unlink", "wait", "watch",
})  # fmt: skip
ONLY_REDIS_WORDS = redis_words() - SHARED_WORDS
#: What the clients in connections/ hand on to redis-py's, whatever the command is.
HANDED_ON = frozenset({
    "execute_command", "pipeline", "execute", "pubsub", "get_primaries", "get_node_from_key",
    "get_redis_connection", "RedisClusterRequestTTL",
})  # fmt: skip
CLIENT_NAMES = frozenset({"client", "pipe", "pipeline", "redis"})
OPENS_A_CLIENT = re.compile(r"(open_\w*client|Redis|RedisCluster|ClusterClient|from_url)$")


class Clients:
    """The expressions of one module that stand for a Redis client, or for something made by one."""

    def __init__(self, tree: ast.AST) -> None:
        self._modules = {
            alias.asname or alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        self._names = set(CLIENT_NAMES)
        known = 0
        while known != len(self._names):
            known = len(self._names)
            for node in ast.walk(tree):
                for target, value in bindings(node):
                    if self.include(value):
                        self._names |= names_in(target)

    def include(self, node: ast.AST) -> bool:
        """Whether an expression stands for a client."""
        match node:
            case ast.Name(name):
                return name.lstrip("_") in self._names and name not in self._modules
            case ast.Attribute(value, attr):
                module = isinstance(value, ast.Name) and value.id in self._modules
                return not module and attr.lstrip("_") in self._names
            case ast.Call(func):
                opens = OPENS_A_CLIENT.search(ast.unparse(func)) is not None
                return opens or (isinstance(func, ast.Attribute) and self.include(func.value))
            case ast.Await(value) | ast.NamedExpr(_, value):
                return self.include(value)
            case ast.IfExp(_, body, orelse):
                return self.include(body) or self.include(orelse)
        return False


def bindings(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each target of a statement that gives a name to a value, and that value."""
    match node:
        case ast.Assign([ast.Tuple(targets)], ast.Tuple(values)):
            yield from zip(targets, values, strict=False)
        case ast.Assign(targets, value):
            yield from ((target, value) for target in targets)
        case ast.AnnAssign(target, value=ast.expr() as value) | ast.NamedExpr(target, value):
            yield target, value
        case ast.withitem(value, ast.expr() as target):
            yield target, value


def names_in(target: ast.AST) -> set[str]:
    """The names and attributes that an assignment's target binds."""
    match target:
        case ast.Name(name) | ast.Attribute(attr=name):
            return {name.lstrip("_")}
        case ast.Tuple(parts):
            return {name for part in parts for name in names_in(part)}
    return set()


def commands_sent(source: str, *, handed_on: frozenset[str] = frozenset()) -> list[str]:
    """Expressions by which a module sends a command to Redis, or could.

    Args:
        source: The module's text.
        handed_on: Names of redis-py's that it may use; not for a command that it names itself.
    """
    tree = ast.parse(source)
    clients, found = Clients(tree), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr not in handed_on:
            shared = node.attr in SHARED_WORDS and clients.include(node.value)
            if shared or node.attr in ONLY_REDIS_WORDS:
                found.append(ast.unparse(node))
        match node:
            case ast.Call(ast.Attribute(attr="execute_command"), [ast.Constant(), *_]):
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    "module", [name for name in MODULES if room_of(name) not in ("queue", "testing")]
)
def test_only_the_queue_sends_commands(module: str) -> None:
    """Whoever wants something of Redis asks queue/; connections/ opens clients, and closes them."""
    handed_on = HANDED_ON if room_of(module) == "connections" else frozenset()

    assert commands_sent(MODULES[module].read_text("utf-8"), handed_on=handed_on) == []


@pytest.mark.parametrize(
    "sample",
    [
        "fleet.client.get(key)",
        "self.fleet.client.get(key)",
        "client = fleet.client; client.llen(key)",
        "c = fleet.client; c.get(key)",
        "self._far = fleet.client\nself._far.exists(key)",
        "a, b = 1, fleet.client\nb.exists(key)",
        "pipe = client.pipeline()",
        "with shard.client.pipeline() as batch: batch.get(key)",
        "open_client(url).info()",
        "open_worker_client(url, timeout_seconds=1).time()",
        "def f(client): return client.ping()",
        "async def f(): await self._client.get(key)",
        "(node := open_client(url)).keys()",
        "anything.hgetall(key)",
        "send = anything.execute_command",
        "partial(fleet.client.get, key)",
    ],
)
def test_the_command_rule_sees_every_name(sample: str) -> None:
    """A command is one by whatever name the client goes."""
    assert commands_sent(sample)


@pytest.mark.parametrize(
    "sample",
    [
        "client = open_client(url)\ntry: f(client)\nfinally: client.close()",
        "async def f(): await self._client.aclose()",
        "Circuit(self.fleet.client, queue)",
        "import http.client\nhttp.client.HTTPConnection(host).close()",
        "log.info(text)",
        "settings.get(name)",
        "queue.sync.flush_events()",
    ],
)
def test_the_command_rule_lets_clients_be_handed_on(sample: str) -> None:
    """Opening a client, handing it on and closing it is no command; nor is another thing's method."""
    assert commands_sent(sample) == []


def test_connections_name_no_command() -> None:
    """A client of ours hands every command on; it sends none that it names itself."""
    assert commands_sent("self.cluster.execute_command(*words)", handed_on=HANDED_ON) == []
    assert commands_sent("self.cluster.execute_command('EXISTS', key)", handed_on=HANDED_ON)
    assert commands_sent("self.client.ping()", handed_on=HANDED_ON)


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short(module: str) -> None:
    """A module that has outgrown one reading is two modules."""
    lines = len(MODULES[module].read_text("utf-8").splitlines())

    assert lines <= MOST_LINES


def calls(path: Path) -> set[str]:
    """The names of the functions that a file calls, without what they are attributes of."""
    tree = ast.parse(path.read_text("utf-8"))
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {ast.unparse(each).rpartition(".")[2] for each in called}


def test_loggers_are_made_in_one_place() -> None:
    """Every module logs through vwo_celery.logs, where all lines can get one form."""
    making = {module for module, path in MODULES.items() if "getLogger" in calls(path)}

    assert making == LOGGERS


def takes_urls_apart(path: Path) -> bool:
    """Whether a file splits text at "://", or has urllib do it."""
    splits = re.compile(r"\.r?(split|partition)\((['\"])(://|\+)\2")
    return bool({"urlsplit", "urlparse"} & calls(path) or splits.search(path.read_text("utf-8")))


def test_redis_urls_are_taken_apart_in_one_place() -> None:
    """Sentinel, Cluster, sockets and passwords with commas are understood by every module alike."""
    assert {name for name, path in MODULES.items() if takes_urls_apart(path)} == URL_READERS


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_pickled(module: str) -> None:
    """What comes out of Redis is data: whoever can write there must not get to run code here."""
    picklers = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}

    assert not picklers & set(libraries_of(module, MODULES[module]))


def sleeps(path: Path) -> list[int]:
    """Lines of *path* that wait for a time instead of a condition."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            lines += [node.lineno for alias in node.names if alias.name == "sleep"]
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "time.sleep", "asyncio.sleep", "gevent.sleep",
        ):  # fmt: skip
            zero = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            lines += [] if zero else [node.lineno]
    return lines


def test_tests_do_not_sleep(tmp_path: Path) -> None:
    """Tests wait for a condition with a deadline; any fixed time is too short somewhere."""
    sample = tmp_path / "sample.py"
    sample.write_text("import time\ntime.sleep(1)\nfrom time import sleep\nasyncio.sleep(0)\n")

    found = {str(path): sleeps(path) for path in TESTS.rglob("*.py")}

    assert sleeps(sample) == [3, 2]
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_the_scripts_are_where_the_package_is() -> None:
    """The .lua files come with the package, from a checkout and from a wheel alike."""
    assert {path.stem for path in SCRIPTS} >= {"enqueue", "claim", "ack", "release", "dead_letter"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_open_with_their_header(path: Path) -> None:
    """A script says what it changes, its keys and arguments, what it returns and what it costs."""
    lines = path.read_text("utf-8").splitlines()
    header = "\n".join(
        lines[: next(i for i, text in enumerate(lines) if not text.startswith("-- "))]
    )
    code = "\n".join(lines[header.count("\n") + 1 :])
    used = {match.group() for match in LUA_ARGUMENT.finditer(code)}
    described = {match.group() for match in LUA_ARGUMENT.finditer(header)}

    assert lines[0].startswith(f"-- {path.relative_to(PACKAGE / 'queue' / 'lua').as_posix()}: ")
    if path.parent.name != "shared":
        assert used <= described, f"the header does not list {sorted(used - described)}"
        assert re.search(r"^-- KEYS\[1\]", header, re.MULTILINE)
        assert re.search(r"^-- Returns ", header, re.MULTILINE)
        assert re.search(r"^-- Cost ", header, re.MULTILINE)


@pytest.mark.parametrize(
    "module", ["vwo_celery", "vwo_celery.producing.producer", "vwo_celery.aio"]
)
def test_a_producer_is_light(module: str) -> None:
    """A web process that only enqueues imports neither Celery nor requests, nor what they bring."""
    heavy = {"celery", "kombu", "requests", "django", "click", "rich"}
    program = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )

    assert ran.stdout.split() == []
