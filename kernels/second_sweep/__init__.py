"""Exact weights summed in a second sweep, conditioned on lse."""
