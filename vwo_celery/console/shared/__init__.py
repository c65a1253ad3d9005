"""The words that the console's rooms share: what is asked, by whom, and what is answered.

Files, in reading order: `exchange` (a request, a response, a page), `rights` (what somebody may do),
`routes` (which path is answered by whom), `sources` (the queues, and looks that are kept for a
moment), `refusals` (what keeps the console from answering), `visits` (one request with all that an
answer needs), `dead` (dead letters by a filter), `payloads` (events as they may be seen). Nothing is
changed here: nothing to lose.
"""
