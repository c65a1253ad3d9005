"""Redis itself: what its servers are, whether they take a write, and what they allow.

Files, in reading order: `facts` (what a server tells about itself), `mastership` (what Sentinels say of
it), `writes` (is one taken now?), `permissions` (of this Redis user), `roles` (the rights that each kind
of user needs). No event is touched. What is tried is tried on scratch keys: if the process dies here, one
of them may stay, and the next try removes it.
"""
