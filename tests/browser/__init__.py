"""The operator's console in a real browser, and the pictures of it for the documentation."""
