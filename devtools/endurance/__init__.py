"""Indexes under attack: killed, on a full disk, in the hands of many processes. By tests and `benchmarks.endurance`."""
