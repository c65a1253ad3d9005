"""Charts: from a series of numbers to an SVG text, and to a table of the same numbers.

Pure: nothing to lose. No script draws them and they hold no style, only classes, so that a page with
the strictest policy shows them, they print, and a test reads them. Files: `pictures` (what is to be
drawn), `axes` (where a value stands), `spelling` (numbers in words), `drawing` (the chart), `small`
(meters and sparklines), `tables` (the numbers, and the sentence that a screen reader says).
"""
