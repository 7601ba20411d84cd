"""Measurements, not tests: what docs/benchmarks.md, docs/accuracy.md and docs/training.md say."""
