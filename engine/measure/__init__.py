"""Measuring: clocks, memory counters and the machine, for benchmarks, costs and profiles."""
