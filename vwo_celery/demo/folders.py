"""Folders of the demo and of `vwo-celery dev`: one that never outlives its process, one in use.

A small program waits for the end of this process and deletes the folder, so that it goes even if this
process is killed. If that program is killed as well, the folder stays.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from vwo_celery.errors import VwoCeleryError

# Other programs of a process that is killed may write for a moment still.
_DELETE = """\
import os, shutil, sys, time
sys.stdin.buffer.read()
for _ in range(100):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.exists(sys.argv[1]):
        break
    time.sleep(0.05)
"""


class BriefFolder:
    """A folder that is deleted by `delete`, or when this process ends, however it ends.

    Args:
        prefix: First part of its name.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._deleter = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _DELETE, str(self.path)],
            stdin=subprocess.PIPE,  # its end is this process' end: no other program inherits it
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def delete(self) -> None:
        """Delete it with all that is in it."""
        self._deleter.communicate()
        shutil.rmtree(self.path, ignore_errors=True)


class KeptFolder:
    """A folder whose files outlive the process, which one process uses at a time.

    Args:
        path: Where it is, or is to be.

    Raises:
        VwoCeleryError: It cannot be made or used, or another process uses it.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not os.access(path, os.W_OK | os.X_OK):
                raise PermissionError("it may not be written")
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as exc:
            raise VwoCeleryError(f"{path} cannot hold data: {exc}") from exc
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            self.close()
            raise VwoCeleryError(f"{path} is in use by another vwo-celery dev") from exc

    def close(self) -> None:
        """Let others use it; so does the end of this process."""
        os.close(self._descriptor)
