"""What is written beside the events, for people and for other processes to read; no event is in it.

Files, in reading order: `reports` (add up what no script saw), `cards` (what workers are), `relays` (what
relays are and did), `histories` (samples of the counters), `balances` (of ledgers), `audits` (who
changed what), `jobs` (what workers do for operators), `copies` (of the settings that VWO answers SDKs
with), `shadows` (what shadowed SDKs sent, and what our hook saw).

If a process dies here, a record is missing or stays unfinished, and no event is lost.
"""
