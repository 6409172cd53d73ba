"""Clocks, memory counters and the machine: what bench, cost and profile measure with."""
