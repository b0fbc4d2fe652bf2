"""Benchmarks: what bulkcmp costs beside what it must cost, each figure a ratio."""
