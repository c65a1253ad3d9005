"""What a relay has done, told to whoever asks.

Files, in reading order: `counts` (of this process) and `cards` (what it tells the fleet of them).

If the process dies, its counts are gone, and its last card stays for an hour.
"""
