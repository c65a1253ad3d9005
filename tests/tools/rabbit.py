"""A private RabbitMQ on loopback, gone after the test; without one here, its tests are left out.

Its server cannot be had from PyPI, so unlike Redis it is taken from the machine: Debian's
rabbitmq-server. `.ci/run` installs it.
"""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path

from tools.processes import Process
from vwo_celery.testing.waiting import free_port

#: Debian's script that starts the server as the user who calls it; the one on PATH changes the user.
_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_READY_SECONDS = 90.0


def has_rabbitmq() -> bool:
    """Whether this machine has a RabbitMQ server."""
    return _SERVER.exists() and shutil.which("epmd") is not None


class RabbitMQ:
    """One RabbitMQ server, and Erlang's name server for it, while in use as a context.

    Args:
        folder: Where its files go.
        conf: Lines of its rabbitmq.conf.
    """

    def __init__(self, folder: Path, conf: str = "") -> None:
        self.port = free_port()
        names = free_port()
        home = folder / "rabbit"
        home.mkdir()
        (home / "plugins").write_text("[].\n")
        (home / "rabbitmq.conf").write_text(conf)
        self._env = {
            "HOME": str(home),
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
        }
        self._names = Process("epmd", "-port", str(names), folder=folder, name="epmd")
        self.server = Process(str(_SERVER), folder=folder, name="rabbitmq", env=self._env)
        self._folder = folder
        self._controls = 0
        self._stack = ExitStack()

    def __enter__(self) -> RabbitMQ:
        with ExitStack() as stack:
            stack.enter_context(self._names)
            stack.callback(self.server.stop)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """URL of its default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start it, and return when it accepts connections; what it held is kept over a kill."""
        self.server.start()
        self.server.wait_for_port(self.port, _READY_SECONDS)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self.server.kill()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing is answered."""
        os.killpg(self.server.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        os.killpg(self.server.pid, signal.SIGCONT)

    def alarm(self, *, on: bool) -> None:
        """Raise or end the alarm on memory, during which it takes no message."""
        self.control("set_vm_memory_high_watermark", "0.000001" if on else "0.8")

    def control(self, *words: str) -> str:
        """Run `rabbitmqctl` with these words; what it prints."""
        self._controls += 1
        control = Process(
            str(_SERVER.with_name("rabbitmqctl")), "-n", self._env["RABBITMQ_NODENAME"], *words,
            folder=self._folder, name=f"control-{self._controls}", env=self._env,
        )  # fmt: skip
        control.start()
        assert control.wait(_READY_SECONDS) == 0, control.log()
        return control.log()
