"""Deliberate bugs: code broken on purpose to see a test fail."""
