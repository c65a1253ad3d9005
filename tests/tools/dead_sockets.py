"""The connections of a process that was cloned: they look alive and lead nowhere."""

from __future__ import annotations

import os
import socket
import stat

#: The far ends, kept open: nothing answers there.
_kept: list[socket.socket] = []


def kill_sockets(*, closed: bool = False) -> None:
    """Let each connection of this process lead nowhere; those of other processes stay as they are.

    Args:
        closed: Whether the far end is closed, and not silent.
    """
    for name in os.listdir("/proc/self/fd"):
        try:
            is_socket = stat.S_ISSOCK(os.fstat(int(name)).st_mode)
        except OSError:
            continue  # the listing's own
        if is_socket:
            near, far = socket.socketpair()
            os.dup2(near.fileno(), int(name))
            near.close()
            if closed:
                far.close()
            else:
                _kept.append(far)
