"""The installed version of Triton: 3.6 spills a few more registers than 3.7."""

from importlib.metadata import version

OLD = tuple(map(int, version("triton").split(".")[:2])) < (3, 7)
