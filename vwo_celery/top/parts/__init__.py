"""What the screens are made of.

Files, in reading order: `bars` (numbers as rows of blocks), `charts` (a chart with its words), `words`
(texts from outside, made safe, and their styles), `tables` (a table that keeps its place), `asking`
(questions before a change, and its progress), `frame` (what each screen has: head, what was done, keys).
Nothing to lose.
"""
