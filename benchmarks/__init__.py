"""Benchmarks that anyone can run; each prints a table and writes JSON."""
