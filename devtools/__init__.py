"""What tests, demo and benchmarks share; not part of the distribution."""
