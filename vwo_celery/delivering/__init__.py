"""Stages 3 to 6 of an event's way: claim, send, settle, announce.

Read `delivery` first: it has all four. Then `claims` (one after the other, for the time of `turns`),
`declining` (which queues are left to other workers), `probing` (the destination's circuit),
`attempts` (one attempt at one batch), `settling` (a script for each verdict), `refusals` and
`bisection` (which event is to blame), `oversize` and `sizes` (how large a batch may be), `batch_log`
(a line for each attempt), `recording` (its span), `troubles` (what fails, dies and recovers),
`announcing` (signals, callback, results). A worker process keeps `worker` (connections,
registrations), `leases` (the batches it holds) and `lane` (delivers where no Celery task does).

If the process dies in here, its leases run out and the batches may be claimed again. Only an
announcement can be lost; the delivery is not.
"""
