"""A program that a test of the spool runs: `crowded_spool_program.py FOLDER FIRST COUNT`.

Puts COUNT events into the spool of FOLDER, one by one, while a thread of it drains and tidies the
files of all such programs. Prints "put N" for each event that the spool took, and "drained N" for each
that the thread found there.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.producers import numbers
from tools.spools import open_spool, registration
from vwo_celery.errors import SpoolUnavailable

#: Pause after each event: the files of the others are empty, and deleted, again and again.
_PAUSE_SECONDS = 0.002

folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
is_over = threading.Event()


def tell(word: str, text: bytes) -> None:
    """Print a line in one piece: two threads do."""
    sys.stdout.write(f"{word} {json.loads(text)['n']}\n")


def drain() -> None:
    """Drain and tidy until the program has put in its last event."""
    spool = open_spool(folder)
    while not is_over.is_set():
        try:
            while (page := spool.take()) is not None:
                for text in page.encoded:
                    tell("drained", text)
                spool.remove(page)
            spool.tidy()
        except SpoolUnavailable:  # another program is at the same file
            continue


drainer = threading.Thread(target=drain)
drainer.start()
spool = open_spool(folder)
for n in range(first, first + count):
    (event,) = numbers(1, n)
    try:
        spool.put(registration(), [event])
    except SpoolUnavailable:  # told to the caller: nothing is promised
        continue
    tell("put", event)
    is_over.wait(_PAUSE_SECONDS)
is_over.set()
drainer.join()
