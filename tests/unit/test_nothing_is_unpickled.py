"""Bytes from Redis, from the broker or from VWO never become code, and TLS is never switched off."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from celery import Celery
from kombu.exceptions import ContentDisallowed
from kombu.serialization import loads, prepare_accept_content

import vwo_celery
from vwo_celery.celery.worker.tasks import publisher_of
from vwo_celery.queue.fleet import Fleet
from vwo_celery.queue.words.registration import Wakeup

PACKAGE = Path(vwo_celery.__file__).parent
WORKERS = Path(__file__).parents[2] / "workers"
SOURCES = {
    str(path.relative_to(folder.parent)): path
    for folder in (PACKAGE, WORKERS)
    for path in folder.rglob("*.py")
}
#: Modules that turn bytes into objects of any class.
MODULES = {
    "pickle", "cPickle", "_pickle", "marshal", "shelve", "dbm", "dill", "cloudpickle", "jsonpickle",
    "joblib", "yaml", "code", "codeop", "xmlrpc", "telnetlib", "ftplib",
}  # fmt: skip
CALLS = {"eval", "exec", "compile", "__import__", "_create_unverified_context"}
NAMES = {"CERT_NONE", "CERT_OPTIONAL", "disable_warnings", "InsecureRequestWarning"}
#: (keyword or attribute, value) that turns off the check of a peer's identity, or starts a shell.
SWITCHES = {("verify", False), ("check_hostname", False), ("assert_hostname", False),
            ("ssl_check_hostname", False), ("shell", True)}  # fmt: skip


def offences(source: str) -> list[str]:
    """The forbidden constructs in a source."""
    return [found for node in ast.walk(ast.parse(source)) for found in _of(node)]


def _of(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [each.name for each in names if each.name.split(".")[0] in MODULES]
        case ast.ImportFrom(module=str(module)) if module.split(".")[0] in MODULES:
            return [module]
        case ast.ImportFrom(names=names):
            return [each.name for each in names if each.name in NAMES | CALLS]
        case ast.Call(func=ast.Name(id=name)) if name in CALLS:
            return [name]
        case ast.Attribute(attr=name) if name in NAMES | {"_create_unverified_context"}:
            return [name]
        case ast.Constant(value="pickle"):
            return ["'pickle'"]
        case ast.keyword(arg="ssl_cert_reqs", value=ast.Constant(value="none" | "optional")):
            return ["ssl_cert_reqs"]
        case ast.keyword(arg=str(name), value=ast.Constant(value=bool(value))):
            return [f"{name}={value}"] if (name, value) in SWITCHES else []
        case ast.Assign(targets=[ast.Attribute(attr=name)], value=ast.Constant(value=bool(value))):
            return [f"{name}={value}"] if (name, value) in SWITCHES else []
    return []


@pytest.mark.parametrize("path", SOURCES.values(), ids=SOURCES)
def test_no_module_runs_what_it_reads(path: Path) -> None:
    """No pickle, YAML, eval or shell, and no TLS without a check of the certificate."""
    assert offences(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "def f():\n    from pickle import loads", "import dbm.gnu", "eval('1')",
        "from yaml import load", "import a, marshal", "exec(text)", "__import__(text)",
        "session.verify = False", "requests.get(url, verify=False)", "mode = ssl.CERT_NONE",
        "from ssl import CERT_NONE", "ssl._create_unverified_context()", "context.check_hostname = False",
        "redis.Redis(ssl_cert_reqs='none')", "app.conf.accept_content = ['pickle']",
        "subprocess.run(text, shell=True)", "urllib3.disable_warnings()",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_is_for(source: str) -> None:
    """The search finds each forbidden construct, wherever in a module it is."""
    assert len(offences(source)) == 1


def test_this_search_sees_the_whole_package() -> None:
    """The search reads every module, the deployable ones included."""
    assert {"vwo_celery/events/encoding.py", "vwo_celery/celery/app.py", "workers/app.py"} <= set(
        SOURCES
    )


@pytest.fixture
def pickling_app() -> Celery:
    """A user's app that pickles its own tasks, with a broker in this process."""
    app = Celery("theirs", broker="memory://", set_as_current=False)
    app.conf.update(task_serializer="pickle", accept_content=["json", "pickle"])
    vwo_celery.setup(app, vwo_celery.Settings())
    return app


def test_our_task_messages_are_json_in_any_app(pickling_app: Celery) -> None:
    """Our wake-ups are JSON even in an app that pickles its own tasks."""
    without_redis = Fleet(redis_py.Redis(port=1), "vwo")
    assert publisher_of(pickling_app, without_redis).publish(Wakeup("fme-1-abc", 0, "token"))
    pickling_app.finalize()
    (entry,) = pickling_app.conf.beat_schedule.values()
    pickling_app.send_task(entry["task"], **entry["options"])

    with pickling_app.connection_for_read() as connection:
        queue: Any = connection.SimpleQueue("celery")
        messages = [queue.get(timeout=5) for _ in range(2)]
        queue.close()
    assert [message.content_type for message in messages] == ["application/json"] * 2
    assert {task.serializer for name, task in pickling_app.tasks.items() if "vwo" in name} == {
        "json"
    }


def test_a_pickled_message_is_refused_by_a_plain_app() -> None:
    """`setup` keeps Celery's rule: only JSON messages are accepted."""
    app = Celery("ours", broker="memory://", set_as_current=False)
    vwo_celery.setup(app, vwo_celery.Settings())

    accepted = prepare_accept_content(app.conf.accept_content)

    assert accepted == {"application/json"}
    with pytest.raises(ContentDisallowed):
        loads(pickle.dumps([]), "application/x-python-serialize", "binary", accept=accepted)
