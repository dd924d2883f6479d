"""Benchmarks: ratios to a peer or to a stated limit, measured in one run."""
