"""Benchmarks: they read the clock and are no part of the product."""
