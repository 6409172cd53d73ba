#!/usr/bin/env bash
# Compare, time and profile the variants of the Hopper kernel, in under eight minutes on an H100 or H200:
#
#   tests/benchmarks/variants/run.sh FOLDER [SECONDS]     (460 by default; results in FOLDER)
set -euo pipefail
cd "$(dirname "$0")/../../.."
[ $# -ge 1 ] || { sed -n '4p' "$0"; exit 2; }
PYTHONPATH=$PWD/src exec python3 tests/benchmarks/variants/measure.py "$@"
