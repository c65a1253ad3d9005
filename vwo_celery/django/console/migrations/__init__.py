"""Migrations of the console's app: `0001_initial` makes its permissions. None of them makes a table."""
