"""Deliberate bugs: what was broken on purpose to see that a test breaks with it."""
