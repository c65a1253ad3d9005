"""Stages 3 to 6 of an event's way: claim, send, settle, announce.

Read `delivery` first: all four in one screen. Then `attempts` (one attempt at one batch), `settling`
(a script for each verdict), `refusals` and `bisection` (which event is to blame), `sizes` (what
passed before), `announcing` (signals, callback, results). What a worker keeps between batches:
`worker`, `leases` (held by this process), `lane` (one batch read while another is sent).

If the process dies in here, its leases expire and the batches are visible again. Only an
announcement can be lost; the delivery is not.
"""
