"""The one place that talks to VWO: it sends a body, gets an Answer, and a table says what it means.

Files, in reading order: `sender` (one POST), `forwarding` (POSTs in the background), `fetching` (what
SDKs ask VWO for), `wanted` (such a request, and its answer), `hosts` (where a POST may go), `deadline`
(one time limit over the whole request), `environment` (proxies and certificates), `request_line` (the SDK
key in it, unseen by tracers), `failures` (a word for each exception of the HTTP libraries), `outcomes`
(what an answer means for its batch).

If the process dies in here, VWO may have got the batch and nobody knows: the lease runs out and the
batch is sent again.
"""
