"""`vwo-celery top`: the fleet in a terminal that stays open, live, and steered by keys.

Beside an event's way; the extra `tui` brings textual, which nothing else here loads. Rooms, in reading
order: `looking` (looks, rates, findings and changes, in threads and without a terminal), `parts`
(charts, tables, questions), `screens` (one for each page). `app` puts them together; `keys` says what
may be pressed where. Redis is asked as `vwo-celery status` asks it, so that a look costs the same at any
backlog. If it dies, nothing is lost: a change that had begun is as with every other door.
"""
