"""The bare alternative to a worker: RPOP and post until the list is empty.

bare_loop.py REDIS_URL SINK_URL EVENTS_PER_REQUEST [POLL_SECONDS]

It pushes a word onto "ready" once it could start, and starts when there is one on "go". With
POLL_SECONDS it starts at once and never ends: it posts as soon as the list holds so many events, and
looks so often.
"""

import sys
import time

import redis
import requests

client = redis.Redis.from_url(sys.argv[1])
most, poll_seconds = int(sys.argv[3]), float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
if not poll_seconds:
    client.lpush("ready", 1)
    client.brpop("go")
while True:
    if poll_seconds and client.llen("bare") < most:
        time.sleep(poll_seconds)
        continue
    events = client.rpop("bare", most)
    if not events:
        break
    requests.post(
        sys.argv[2] + "/server-side/batch-events-v2",
        data=b'{"ev":[' + b",".join(events) + b"]}",
        headers={"Content-Type": "application/json"},
        timeout=20,
    )
time.sleep(3600)  # whoever started it reads its processor time, and ends it
