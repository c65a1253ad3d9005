"""`vwo-celery completion`: bash completes commands, options and queues, and never hangs or complains."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from tools.command_line import run_command
from tools.queue_states import Queues
from vwo_celery.cli import main
from vwo_celery.testing import RedisServer

pytestmark = pytest.mark.declared_keys("watched")

#: What bash runs when somebody types words and a tab; prints the candidates, and a line.
_TYPED = """
COMPREPLY=(); COMP_WORDS=({words}); COMP_CWORD={last}
_vwo_celery_completion vwo-celery "${{COMP_WORDS[$COMP_CWORD]}}"
printf '%s ' "${{COMPREPLY[@]}}"; echo
"""


@pytest.fixture
def on_path(tmp_path: Path) -> Path:
    """A folder with the command, as an installation puts it on PATH."""
    program = tmp_path / "vwo-celery"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom vwo_celery.cli import main\n"
        "sys.argv[0] = 'vwo-celery'\nmain()\n"
    )
    program.chmod(0o755)
    return tmp_path


def complete(
    folder: Path, redis_url: str, *typed: tuple[str, ...]
) -> subprocess.CompletedProcess[str]:
    """What bash offers for the last word of each line, a line for each."""
    bash = shutil.which("bash")
    assert bash
    script = 'eval "$(vwo-celery completion bash)"\n' + "".join(
        _TYPED.format(words=" ".join(map(repr, ("vwo-celery", *words))), last=len(words))
        for words in typed
    )
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "VWO_CELERY_REDIS_URL": redis_url}
    return subprocess.run(
        [bash, "--norc", "-c", script], capture_output=True, text=True, env=env, check=True
    )


def test_bash_completes_commands_and_queues(queues: Queues, on_path: Path, redis_url: str) -> None:
    """The printed script completes commands, options, and names of queues from Redis."""
    name, other = sorted(queues.add(account=number).name for number in (1, 2))

    done = complete(on_path, redis_url, ("pe",), ("peek", ""), ("status", "--queue", other[:7]))

    assert [line.split() for line in done.stdout.splitlines()] == [["peek"], [name, other], [other]]
    assert done.stderr == ""


def test_completion_without_redis_is_silent(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where Redis is away, or does not answer, or a setting is wrong, no queue is completed, silently."""

    def offered(url: str) -> list[str]:
        monkeypatch.setenv("VWO_CELERY_REDIS_URL", url)
        found = BashComplete(main, {}, "vwo-celery", "_X").get_completions(["peek"], "")
        return [each.value for each in found]

    with RedisServer() as server:
        server.pause()
        assert offered(server.url) == []
        server.resume()
    assert offered(server.url) == []
    assert offered("nonsense") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    """A script is printed for each shell; another shell is wrong usage."""
    result = run_command(["completion", shell])

    assert result.exit_code == 0
    assert f"_VWO_CELERY_COMPLETE={shell}_complete" in result.stdout
    assert run_command(["completion", "csh"]).exit_code == 2
