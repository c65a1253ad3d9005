"""The bare alternative to a worker: RPOP and post until the list is empty.

bare_loop.py REDIS_URL SINK_URL EVENTS_PER_REQUEST
"""

import sys

import redis
import requests

client = redis.Redis.from_url(sys.argv[1])
while events := client.rpop("bare", int(sys.argv[3])):
    requests.post(
        sys.argv[2] + "/server-side/batch-events-v2",
        data=b'{"ev":[' + b",".join(events) + b"]}",
        headers={"Content-Type": "application/json"},
        timeout=20,
    )
