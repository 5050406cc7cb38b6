"""The examples that need no test of their own elsewhere."""
