"""Benchmarks in the lab: every figure of `docs/benchmarks.md` comes from `make bench`."""
