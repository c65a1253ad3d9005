"""Tools that several test modules use; tests/README.md lists them."""
