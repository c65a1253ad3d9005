"""A trivial HTTP server that counts what is posted and answers 200: `sink.py PORT LATENCY_MS`.

GET /stats returns requests, body bytes, and the times of the first and the last request; /reset counts
from zero. GET /count/WORD makes it count, from zero, how often the word is posted as well (none is
counted before that, as it costs time); /words returns that number and the time of the last one.
"""

from __future__ import annotations

import asyncio
import sys
import time

LATENCY_SECONDS = float(sys.argv[2]) / 1000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
counted = [0, 0, 0.0, 0.0]
words = [0, 0.0]


class Connection(asyncio.Protocol):
    word = b""

    def connection_made(self, transport):
        self.transport, self.buffer, self.missing, self.tail = transport, b"", 0, b""

    def data_received(self, data):
        if self.word:
            self.count_words(data)
        if self.missing:
            self.missing -= len(data)
            if self.missing <= 0:
                self.missing = 0
                self.answer()
            return
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        self.buffer = b""
        self.path = head.split(b" ", 2)[1]
        lower = head.lower()
        at = lower.find(b"content-length:")
        size = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        counted[1] += size
        self.missing = size - len(body)
        if self.missing <= 0:
            self.missing = 0
            self.answer()

    def count_words(self, data):
        """Count in this piece, and across the border to the piece before."""
        text = self.tail + data
        self.tail = text[1 - len(self.word) :]
        found = text.count(self.word)
        if found:
            words[:] = [words[0] + found, time.time()]

    def answer(self):
        if self.path == b"/stats":
            self.write(" ".join(map(str, counted)).encode())
        elif self.path == b"/words":
            self.write(" ".join(map(str, words)).encode())
        elif self.path == b"/reset" or self.path.startswith(b"/count/"):
            Connection.word = self.path.removeprefix(b"/reset").removeprefix(b"/count/")
            counted[:], words[:] = [0, 0, 0.0, 0.0], [0, 0.0]
            self.write(b"ok")
        else:
            counted[0] += 1
            counted[2] = counted[2] or time.time()
            counted[3] = time.time()
            if LATENCY_SECONDS:
                asyncio.get_running_loop().call_later(LATENCY_SECONDS, self.transport.write, ANSWER)
            else:
                self.transport.write(ANSWER)

    def write(self, text):
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(text)
        self.transport.write(head + text)
        self.transport.close()


async def main():
    server = await asyncio.get_running_loop().create_server(
        Connection, "127.0.0.1", int(sys.argv[1]), backlog=256
    )
    await server.serve_forever()


asyncio.run(main())
