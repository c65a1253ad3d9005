"""`vwo-celery demo`: the whole way of an event on one machine, with a worker killed on the way.

`command` is the command line, `play` the steps in their
order, `stage` the programs: a real Redis, `standin` as VWO, workers and beat of `app`,
and `replica`s with VWO's own SDK. `progress` and `view` show it, `report` adds it up. Nothing starts
at import.
"""
