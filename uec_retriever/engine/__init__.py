"""The engine: an index of texts that is searched with all its experts at once."""
