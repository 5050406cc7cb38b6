"""Folders of files that people have: which of them are read, in what encoding, and what text they hold."""
