"""The stand-in's HTTP side: a threaded HTTP/1.1 server with keep-alive that misbehaves on demand.

An answer leaves in one segment with Nagle's algorithm off;
the standard library's two segments would cost a keep-alive client 40 ms a request.
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from vwo_celery.testing.standin.agreement import disagreements
from vwo_celery.testing.standin.faults import Fault, FaultLike, FaultPlan, Faults
from vwo_celery.testing.standin.fetches import (
    Settings,
    answer_gateway,
    is_gateway,
    is_settings,
    judge_settings,
)
from vwo_celery.testing.standin.rules import (
    Answer,
    Request,
    is_batch,
    is_event_get,
    is_single,
    judge_batch,
    judge_event_get,
    judge_single,
)
from vwo_celery.testing.standin.tally import Stats, Tally
from vwo_celery.testing.waiting import free_port

#: Largest body that is read: above VWO's bound, so that the client gets to see its 413.
_MAX_READ_BYTES = 64 * 1024 * 1024
_HANDSHAKE_BACKLOG = 512
_UNRECORDED = ("/stats", "/health")


class Standin:
    """A server that plays VWO, running from `start` (or `with`) to `stop`.

    Args:
        host: Address to listen on.
        port: TCP port; 0 for a free one, kept over restarts.
        accounts: The known accounts, id to SDK key; None takes any account, as long as the request
            agrees with itself.
        regions: Account id to region, for `disagreements`; others may come to any.
        settings: Settings that an SDK gets when it asks, a document or a function of the request;
            None answers 404.
        fme_settings: The same for FME SDKs, where theirs differ.
        faults: The planned faults: one for each batch, in order, or a function of the request.
        single_faults: The same for single events.
        fetch_faults: The same for settings and what the gateway is asked.
        latency_seconds: Shortest time to answer a batch request.
        record: Whether `requests` keeps what arrived; counts are kept either way.

    Attributes:
        requests: What arrived, whatever it was answered.
        settings: As above; a new value counts from the next request on.
        fme_settings: As above, too.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        accounts: Mapping[int, str] | Mapping[str, str] | None = None,
        regions: Mapping[int, str] | Mapping[str, str] | None = None,
        settings: Settings = None,
        fme_settings: Settings = None,
        faults: Faults = (),
        single_faults: Faults = (),
        fetch_faults: Faults = (),
        latency_seconds: float = 0.0,
        record: bool = True,
    ) -> None:
        self.host = host
        self.port = port
        self.requests: list[Request] = []
        self._accounts = (
            None if accounts is None else {str(account): key for account, key in accounts.items()}
        )
        self._regions = {str(account): region for account, region in (regions or {}).items()}
        self.settings = settings
        self.fme_settings = fme_settings
        self._plan = FaultPlan(faults)
        self._plan_of_singles = FaultPlan(single_faults)
        self._plan_of_fetches = FaultPlan(fetch_faults)
        self._latency_seconds = latency_seconds
        self._record = record
        self._tally = Tally()
        self._server: _Server | None = None
        self._stopping = threading.Event()

    def __enter__(self) -> Standin:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Scheme, host and port: a destination's `base_url`, an FME client's `proxy_url`."""
        return f"http://{self.netloc}"

    @property
    def netloc(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    @property
    def batches(self) -> list[Request]:
        """The recorded requests to the batch endpoints, whatever they were answered."""
        return [request for request in list(self.requests) if is_batch(request.path)]

    @property
    def singles(self) -> list[Request]:
        """The recorded single events, whatever they were answered."""
        return [request for request in list(self.requests) if is_single(request.path)]

    @property
    def fetches(self) -> list[Request]:
        """The recorded requests for settings, and those to the gateway."""
        return [each for each in list(self.requests) if _is_fetch(each)]

    @property
    def event_gets(self) -> list[Request]:
        """The recorded events that came as GETs, whatever they were answered."""
        return [request for request in list(self.requests) if is_event_get(request.path)]

    def disagreements(self) -> list[str]:
        """What recorded events say otherwise than their request line: account, key, SDK, region."""
        return [
            sentence
            for request in (*self.batches, *self.singles)
            for sentence in disagreements(request, self._regions)
        ]

    @property
    def events(self) -> list[Any]:
        """Events of the recorded batches that were answered 2xx, decoded, in order of arrival."""
        taken = (batch for batch in self.batches if 200 <= batch.status < 300)
        return [event for batch in taken for event in batch.events]

    def stats(self) -> Stats:
        """The counts since the start, of recorded requests and others."""
        return self._tally.stats()

    def fail(self, *faults: FaultLike) -> None:
        """Plan faults for the next requests to the batch endpoints, in order."""
        self._plan.add(*faults)

    def fail_singles(self, *faults: FaultLike) -> None:
        """Plan faults for the next single events, in order."""
        self._plan_of_singles.add(*faults)

    def fail_fetches(self, *faults: FaultLike) -> None:
        """Plan faults for the next requests for settings or to the gateway, in order."""
        self._plan_of_fetches.add(*faults)

    def heal(self) -> None:
        """Forget the faults that are still planned."""
        for plan in (self._plan, self._plan_of_singles, self._plan_of_fetches):
            plan.clear()

    def start(self) -> None:
        """Listen, and return once connections are taken; nothing happens if it runs already.

        Raises:
            OSError: The port is taken.
        """
        if self._server is not None:
            return
        if self.port == 0:
            self.port = free_port(self.host)
        self._stopping.clear()
        self._server = _Server((self.host, self.port), self)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and end every connection; counts and records stay for a new `start`."""
        server, self._server = self._server, None
        if server is None:
            return
        self._stopping.set()
        server.shutdown()
        server.server_close()
        server.end_connections()

    def answer(self, request: Request) -> tuple[Answer, Fault]:
        """Decide about *request*, count and record it; the fault says how the answer travels."""
        if request.method == "POST" and is_batch(request.path):
            return self._answer_batch(request)
        if request.method == "POST" and is_single(request.path):
            return self._answer_single(request)
        if _is_fetch(request):
            return self._answer_fetch(request)
        answer = self._answer_other(request)
        self._keep(request, answer.status)
        return answer, Fault()

    def pause(self, seconds: float) -> bool:
        """Wait; False if the stand-in stopped meanwhile."""
        return seconds <= 0 or not self._stopping.wait(seconds)

    def _answer_single(self, request: Request) -> tuple[Answer, Fault]:
        fault = self._plan_of_singles.take(request)
        answer, fault = self._play(fault, judge_single(request, self._accounts))
        answered = fault.connection not in ("reset", "hang")
        self._tally.note_single(accepted=answered and 200 <= answer.status < 300)
        self._keep(request, answer.status if answered else 0)
        return answer, fault

    def _play(
        self, fault: Fault, judged: Answer, shortest_seconds: float | None = None
    ) -> tuple[Answer, Fault]:
        """The answer after its delay, and how it travels."""
        shortest = self._latency_seconds if shortest_seconds is None else shortest_seconds
        if not self.pause(max(shortest, fault.delay_seconds)):
            fault = Fault(connection="reset")
        return fault.apply(judged), fault

    def _answer_batch(self, request: Request) -> tuple[Answer, Fault]:
        fault = self._plan.take(request)
        answer, fault = self._play(fault, judge_batch(request, self._accounts))
        answered = fault.connection not in ("reset", "hang")
        self._tally.note_batch(
            answer, body_bytes=len(request.body), at=request.received_at, answered=answered
        )
        self._keep(request, answer.status if answered else 0)
        return answer, fault

    def _answer_fetch(self, request: Request) -> tuple[Answer, Fault]:
        fault = self._plan_of_fetches.take(request)
        answer, fault = self._play(fault, self._judge_fetch(request), shortest_seconds=0.0)
        self._keep(request, 0 if fault.connection in ("reset", "hang") else answer.status)
        return answer, fault

    def _judge_fetch(self, request: Request) -> Answer:
        if not is_settings(request.path):
            return answer_gateway(request)
        fme = self.settings if self.fme_settings is None else self.fme_settings
        return judge_settings(request, self._accounts, self.settings, fme)

    def _answer_other(self, request: Request) -> Answer:
        path = request.path
        if request.method == "GET" and path == "/health":
            return Answer.of(200, {"status": "ok"})
        if request.method == "GET" and path == "/stats":
            return Answer.of(200, self.stats())
        if request.method == "GET" and is_event_get(path):
            return judge_event_get(request, self._accounts)
        return Answer.of(404, {"message": "Not found"})

    def _keep(self, request: Request, status: int) -> None:
        if self._record and request.path not in _UNRECORDED:
            self.requests.append(msgspec.structs.replace(request, status=status))


def _is_fetch(request: Request) -> bool:
    is_get = request.method == "GET" and is_settings(request.path)
    return is_get or is_gateway(request.method, request.path)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = _HANDSHAKE_BACKLOG

    def __init__(self, address: tuple[str, int], standin: Standin) -> None:
        self.standin = standin
        self._connections: set[Any] = set()
        self._connections_lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own method asks the name service for this host's name.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):  # it ended by itself
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Tests make clients hang up on purpose; any other error is a bug of the stand-in.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        body = self._read_body()
        if body is None:
            return
        request = Request(self.command, self.path, self.headers.items(), body, time.time())
        answer, fault = self.server.standin.answer(request)
        self._send(_segment(answer), len(answer.body), fault)

    def _read_body(self) -> bytes | None:
        """The body; None if the client is gone, or has been refused already."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self._refuse_unread(411, "A Content-Length is needed")
            return None
        if int(length) > _MAX_READ_BYTES:
            self._refuse_unread(413, "Payload size too large")
            return None
        body = self.rfile.read(int(length))
        if len(body) == int(length):
            return body
        self.close_connection = True
        return None

    def _refuse_unread(self, status: int, reason: str) -> None:
        self.close_connection = True
        self.wfile.write(_segment(Answer.of(status, {"error": reason})))

    def _send(self, segment: bytes, body_bytes: int, fault: Fault) -> None:
        if fault.connection is None:
            self.wfile.write(segment)
            return
        self.close_connection = True
        if fault.connection == "reset":
            self._reset()
        elif fault.connection == "hang":
            self.connection.recv(1)  # returns when the client gives up, or the stand-in stops
        elif fault.connection == "cut":
            # Whole headers: some clients take an answer that ends within them for a complete one.
            self.wfile.write(segment[: -(body_bytes + 1) // 2])
        else:
            self._trickle(segment, fault.trickle_seconds)

    def _trickle(self, segment: bytes, pause_seconds: float) -> None:
        for position in range(len(segment)):
            self.wfile.write(segment[position : position + 1])
            if not self.server.standin.pause(pause_seconds):
                return

    def _reset(self) -> None:
        # Lingering for 0 s makes close() send RST; detach, as rfile and wfile would keep it open.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


def _segment(answer: Answer) -> bytes:
    """The whole answer as the bytes of one write."""
    body = b"" if answer.status in (204, 304) else answer.body
    lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
