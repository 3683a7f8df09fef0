"""Benchmarks: each runs a named peer in the same process and prints the ratio."""
