"""No program of the demo outlives it, even where the demo itself is killed and can end nobody.

Place: adapters, the demo. On Linux the kernel sees to it; elsewhere only a demo that ends in order
ends its programs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

PARENT_VARIABLE = "VWO_DEMO_PARENT_PID"
_PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with(parent_pid: int) -> None:
    """Have this process killed when *parent_pid*, which started it, is gone; at once if it is."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def die_with_demo(environment: Mapping[str, str] = os.environ) -> None:
    """As `die_with` the demo, if it was the demo that started this program."""
    if parent_pid := environment.get(PARENT_VARIABLE):
        die_with(int(parent_pid))
