"""A Sentinel by itself, which knows one master and has nobody to agree with."""

from __future__ import annotations

from pathlib import Path

from tools.processes import Process
from tools.redis_groups import SERVICE
from vwo_celery.testing.redis_binary import find_redis_server


def lone_sentinel(port: int, master_port: int, folder: Path) -> Process:
    """A Sentinel of SERVICE on *port*, which runs while in use as a context; its files in *folder*."""
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor {SERVICE} 127.0.0.1 {master_port} 1\n"
    )
    command = (find_redis_server(), str(configuration), "--sentinel")
    return Process(*command, folder=folder, name="sentinel")
