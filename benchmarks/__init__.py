"""Measurements, not tests: their results stand in docs/benchmarks.md, docs/accuracy.md and docs/training.md."""
