"""From the bytes of a request to its events, each with the bytes that the SDK wrote.

Files, in reading order: `paths` (which paths there are), `request` (a request as the other files read
it), `bodies` (encodings undone within bounds), `batches` (the events of one body) and `singles` (a body
or a query that is one event). All are pure: nothing to lose.
"""
