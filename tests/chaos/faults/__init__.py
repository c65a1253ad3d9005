"""The fault matrix as data: each fault, its duration, and the promises that still hold.

A file for each kind of fault has the faults and the rows; `row` has what they share.
"""

from __future__ import annotations

from chaos.faults import applications, network, relays, servers, vendor, workers
from chaos.faults.row import Row, nothing

MATRIX: tuple[Row, ...] = (
    Row(name="none", fault="none, to compare with", inflict=nothing),
    *workers.ROWS,
    *servers.ROWS,
    *network.ROWS,
    *vendor.ROWS,
    *applications.ROWS,
    *relays.ROWS,
)

#: The most important rows, for a run of less than a minute.
SHORT = (
    "worker-killed-in-post",
    "redis-killed",
    "applications-partitioned",
    "push-replies-lost",
    "vwo-reset-late",
    "relay-killed",
)
