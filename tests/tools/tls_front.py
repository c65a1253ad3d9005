"""TLS in front of a real Redis, for servers that are built without it.

Takes TLS and plain connections on one port, so that Sentinels and the nodes of a Cluster reach each
other by the same address as the clients under test.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import suppress

import trustme

#: First byte of a TLS handshake.
_HANDSHAKE = b"\x16"
_PIECE_BYTES = 65_536


class TlsFront:
    """Listen on a port of its own and pass everything on to *target_port*, while in use as a context.

    Args:
        target_port: TCP port on 127.0.0.1; nobody need listen there yet.
        certificate: Shown to those who speak TLS.

    Attributes:
        port: The TCP port on 127.0.0.1.
        refused: Number of handshakes that a client broke off.
        taken: Number of clients that sent something after the handshake.
    """

    def __init__(self, target_port: int, certificate: trustme.LeafCert) -> None:
        self._target_port = target_port
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.refused = self.taken = 0

    def __enter__(self) -> TlsFront:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            if client.recv(1, socket.MSG_PEEK) != _HANDSHAKE:
                self._pass_on(client)
                return
            try:
                secured = self._context.wrap_socket(client, server_side=True)
                first = secured.recv(
                    _PIECE_BYTES
                )  # with TLS 1.3 a client refuses only after its part
            except OSError:
                self.refused += 1
                return
            with secured:
                if first:
                    self.taken += 1
                    self._pass_on(secured, first)

    def _pass_on(self, client: socket.socket, first: bytes = b"") -> None:
        with socket.create_connection(("127.0.0.1", self._target_port)) as server:
            server.sendall(first)
            while True:
                for each in select.select([client, server], [], [])[0]:
                    piece = each.recv(_PIECE_BYTES)
                    if not piece:
                        return
                    (server if each is client else client).sendall(piece)
                while isinstance(client, ssl.SSLSocket) and client.pending():
                    server.sendall(client.recv(_PIECE_BYTES))
