"""What the commands share; none of it is a command.

Files, in reading order: `session` (options, settings, errors as one line), `mistyped` (what was
meant), `lines` (single lines), `output` (tables), `documents` (what `--json` prints), `watching` (a
page again and again), `asking` (before what cannot be undone), `brakes` (Ctrl-C), `bulk` (changes
of many batches or queues), `completing` (names of queues in a shell), `serving` (commands that
serve). Nothing to lose.
"""
