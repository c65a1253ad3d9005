"""The one place that talks to VWO: a body goes out, an Answer comes back, a table says what it means.

Files, in reading order: `sender` (one POST), `hosts` (where a POST may go), `deadline` (one time
limit over the whole exchange), `failures` (an HTTP library's exceptions in words), `outcomes` (what
an answer means for its batch).

If the process dies in here, VWO may have the batch and we do not know: its lease expires and the
batch is sent again.
"""
