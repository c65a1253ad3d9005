"""`vwo-celery demo`, an event's whole way with a worker killed on it; `vwo-celery dev`, to develop with.

Files, in reading order: `command` is the command line, `play` the steps in their order, `stage` the
programs (`children` starts and ends them): a real Redis, `standin` as VWO for the made-up `account`,
workers and beat of `app`, and `replica`s with VWO's own SDK; `alive` checks a replica's sign of life.
`freeze` stops a worker while it holds a batch. `recording_queue` and `deliveries` write down what was
enqueued and delivered, `progress` and `view` show it, `report` adds it up. `dev` is the other command,
`workbench` the programs that it starts. `folders` has those of both commands, which outlive neither.
Nothing starts at import.
"""
