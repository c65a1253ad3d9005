"""What `top` knows, and how it comes to know it; none of it draws anything.

Files, in reading order: `scenes` (one look at everything), `rates` (events a second, from successive
looks), `series` (the last hour as numbers to draw), `watching` (looks again and again), `checkup` (the
doctor, now and then), `plans` (what a key would do), `steering` (to queues), `changes` (to dead
letters), `desk` (what all screens share).
Each look runs in a thread of its own: a Redis that hangs never holds up the keys. Nothing to lose.
"""
