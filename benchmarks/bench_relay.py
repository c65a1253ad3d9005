"""The relay against two bare uvicorn apps in one run; large batches; latency; memory of large bodies."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil
import redis
import uvloop
from shared import HERE, KEY, event, program, ratio, show

from vwo_celery.events import body, encode
from vwo_celery.testing import RedisServer, free_port

CONNECTIONS, ROUNDS, SECONDS = 32, 5, 2.0
PER_REQUEST, LARGE = 2, 500
FULL_BODY_BYTES, FULL_SECONDS, SLICES = 9_900_000, 60.0, 60
PATH = f"/server-side/batch-events-v2?a=888888&env={KEY}&sn=vwo-fme-node-sdk&sv=1.35.0"
RELAY = (
    "from vwo_celery.relay.serving.server import serve; from vwo_celery.settings import Settings; "
    "serve(Settings.load())"
)


class Load(NamedTuple):
    """What one client did: requests, seconds, and each request's milliseconds."""

    requests: int
    seconds: float
    latencies: list[float]


class Server(NamedTuple):
    """A server under load."""

    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        times = self.process.cpu_times()
        return times.user + times.system


class Client(asyncio.Protocol):
    """One connection that sends a request, waits for its answer, and sends the next."""

    def __init__(self, request: bytes, until: float, pause: float, latencies: list[float]) -> None:
        self._request, self._until, self._pause, self._latencies = request, until, pause, latencies
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._due = time.perf_counter()
        self._send(self._due)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(ConnectionError("the server closed the connection"))

    def _send_now(self) -> None:
        self._send(time.perf_counter())

    def _send(self, began: float) -> None:
        self._began = began
        self._transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/") and not data.startswith(b"HTTP/1.1 200"):
            self.over.set_exception(RuntimeError(f"{data!r}"))
        if not data.endswith(b"}"):  # the body comes later
            return
        now = time.perf_counter()
        self._latencies.append((now - self._began) * 1000)
        if now >= self._until:
            self._transport.close()
            self.over.set_result(None)
            return
        self._due += self._pause
        wait = self._due - now if self._pause else 0
        if wait > 0:  # the timer's own lateness is no fault of the server's
            asyncio.get_running_loop().call_later(wait, self._send_now)
        else:  # a request that could not be sent in time has waited since it was due
            self._send(self._due if self._pause else now)


def load(
    port: int, text: bytes, seconds: float, *, connections: int = CONNECTIONS, rate: float = 0
) -> Load:
    """Send a body again and again, as fast as it is answered, or at a rate of requests/s."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n"
    request = f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text

    async def main() -> Load:
        loop, found = asyncio.get_running_loop(), []
        until = time.perf_counter() + seconds
        pause = connections / rate if rate else 0
        started = time.perf_counter()
        clients = []
        for _ in range(connections):
            _, client = await loop.create_connection(
                lambda: Client(request, until, pause, found), "127.0.0.1", port
            )
            clients.append(client)
            await asyncio.sleep(pause / connections)
        await asyncio.gather(*(client.over for client in clients))
        return Load(len(found), time.perf_counter() - started, found)

    return uvloop.new_event_loop().run_until_complete(main())


@contextmanager
def served(*command: str, url: str) -> Iterator[Server]:
    """A server in a process of its own, and its port."""
    port = free_port()
    env = {
        "REDIS_URL": url,
        "VWO_CELERY_REDIS_URL": url,
        "VWO_CELERY_RELAY_LISTEN": f"127.0.0.1:{port}",
    }
    words = [word.replace("PORT", str(port)) for word in command]
    with program(*words, **env) as process:
        for _ in range(500):
            try:
                load(port, body([encode(event())]), 0, connections=1)
            except OSError:
                time.sleep(0.02)
            else:
                break
        yield Server(port, psutil.Process(process.pid))


def bare(app: str) -> tuple[str, ...]:
    """The command of a bare app."""
    return (
        "-m",
        "uvicorn",
        f"relay_floor:{app}",
        "--port",
        "PORT",
        "--log-level",
        "warning",
        "--no-access-log",
    )


def main() -> None:
    """Print the tables."""
    with RedisServer() as store:
        url = store.url
        with (
            served("-c", RELAY, url=url) as ours,
            served(*bare("one"), url=url) as one,
            served(*bare("gather"), url=url) as gather,
        ):
            servers = {"relay": ours, "one EVALSHA a request": one, "gathering": gather}
            full = _against_floors(servers, url)
            _large_batches(ours, url)
            _latency(servers, url, full)
        _steps(url, full["relay"] / 2)
        with served("-c", RELAY, url=url) as ours:
            _memory(ours, url)


def _empty(url: str) -> None:
    """Forget what was stored, which nobody sends here, before a queue is full."""
    with redis.Redis.from_url(url) as client:
        client.flushall()


def _against_floors(servers: dict[str, Server], url: str) -> dict[str, float]:
    """Print the servers at full load; return the requests/s of each."""
    text = body([encode(event(number)) for number in range(PER_REQUEST)])
    rates: dict[str, list[float]] = {name: [] for name in servers}
    costs: dict[str, list[float]] = {name: [] for name in servers}
    for turn in range(ROUNDS + 1):
        for name, server in servers.items():
            _empty(url)
            before = server.cpu_seconds()
            done = load(server.port, text, SECONDS)
            if turn:
                rates[name].append(done.requests / done.seconds)
                costs[name].append((server.cpu_seconds() - before) / done.requests * 1e6)
    rows = [
        (
            name, f"{statistics.median(rates[name]):,.0f}", f"{statistics.median(costs[name]):.0f}",
            f"{ratio(rates, 'relay', name):.2f}", f"{ratio(costs, name, 'relay'):.2f}",
        )
        for name in servers
    ]  # fmt: skip
    columns = ("", "requests/s", "CPU µs a request", "relay / it", "the same by CPU")
    show(f"{PER_REQUEST} events a request, {CONNECTIONS} connections, one process", rows, *columns)
    return {name: statistics.median(found) for name, found in rates.items()}


def _large_batches(server: Server, url: str) -> None:
    text = body([encode(event(number)) for number in range(LARGE)])
    rates, costs = [], []
    for turn in range(ROUNDS + 1):
        _empty(url)
        before = server.cpu_seconds()
        done = load(server.port, text, SECONDS, connections=4)
        if turn:
            rates.append(done.requests * LARGE / done.seconds)
            costs.append((server.cpu_seconds() - before) / done.requests / LARGE * 1e6)
    rows = [(f"{statistics.median(rates):,.0f}", f"{statistics.median(costs):.1f}")]
    show(f"Batches of {LARGE} events", rows, "events/s", "CPU µs an event")


def _latency(servers: dict[str, Server], url: str, full: dict[str, float]) -> None:
    """Half of each server's own full load, in turns: the bare apps show what the machine adds."""
    text = body([encode(event(number)) for number in range(PER_REQUEST)])
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, server in servers.items():
            _empty(url)
            load(server.port, text, SECONDS / 8)  # the queue is registered again
            done = load(server.port, text, SECONDS, rate=full[name] / 2)
            cuts = statistics.quantiles(done.latencies, n=100)
            found[name].append((cuts[49], cuts[98]))
    rows = []
    for name, turns in found.items():
        p50, p99 = (statistics.median(each) for each in zip(*turns, strict=True))
        ratios = [high / low for low, high in turns]
        middle, least = statistics.median(ratios), min(ratios)
        rate = f"{full[name] / 2:,.0f}"
        rows.append((name, rate, f"{p50:.2f}", f"{p99:.2f}", f"{middle:.1f}", f"{least:.1f}"))
    columns = ("", "requests/s", "p50 ms", "p99 ms", "p99 / p50", "in the quietest turn")
    show("Half of each one's full load", rows, *columns)


def _steps(url: str, rate: float) -> None:
    """What the relay itself adds to its slowest answers: steps of its event loop, in processor time."""
    text = body([encode(event(number)) for number in range(PER_REQUEST)])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "steps"
        with served(str(HERE / "relay_steps.py"), str(path), url=url) as server:
            load(server.port, text, 4 * SECONDS, rate=rate)
        steps = json.loads(path.read_text())
    cuts = statistics.quantiles(steps[len(steps) // 4 :], n=100)  # without those of its start
    longest = max(steps[len(steps) // 4 :])
    rows = [(f"{rate:,.0f}", *(f"{ms:.2f}" for ms in (cuts[49], cuts[98], longest)))]
    show("Steps of the relay's event loop", rows, "requests/s", "p50 ms", "p99 ms", "longest ms")


def _memory(server: Server, url: str) -> None:
    text = body([b'{"d":{"x":"' + b"x" * (FULL_BODY_BYTES // 5000 - 14) + b'"}}'] * 5000)
    sizes: list[float] = []
    for _ in range(SLICES):
        load(server.port, text, FULL_SECONDS / SLICES, connections=4)
        _empty(url)
        sizes.append(server.process.memory_info().rss / 1e6)
    sixth = max(1, SLICES // 6)
    peaks = [max(sizes[at : at + sixth]) for at in range(0, SLICES, sixth)]
    rows = [(f"{len(text) / 1e6:.1f}", *(f"{size:.0f}" for size in peaks))]
    columns = [f"MB, {number}. sixth" for number in range(1, len(peaks) + 1)]
    show(f"Large bodies, four at a time, {FULL_SECONDS:.0f} s", rows, "MB each", *columns)


if __name__ == "__main__":
    main()
