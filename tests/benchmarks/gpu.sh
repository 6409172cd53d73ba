#!/usr/bin/env bash
# What only a GPU can show, in one call of under nine minutes: are the kernels right, how fast are
# they, what does recording cost in a long prefill, what does the vocabulary's kernel cost.
#
#   tests/benchmarks/gpu.sh FOLDER [STEP ...]     (without steps: tests others vocabulary profile)
#
# Each step ends at its own limit and leaves what it has; log.txt says how each ended. Where packages
# are missing and nothing can be fetched, wheels lie in .wheels (README.md beside this file).
set -uo pipefail
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] || { sed -n '5p' "$0"; exit 2; }
out=$1; shift
steps=${*:-tests others vocabulary profile}
mkdir -p "$out"
exec > >(tee -a "$out/log.txt") 2>&1
export PYTHONPATH=$PWD/src PYTHONUNBUFFERED=1
if compgen -G '.wheels/*.whl' >/dev/null; then
  site=$(mktemp -d)
  python3 -m pip install -q --no-index --no-deps --no-compile --target "$site" .wheels/*.whl || exit 1
  PYTHONPATH=$PYTHONPATH:$site
fi
attentropy() { python3 -m attentropy.report.cli "$@"; }
export -f attentropy

nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm,clocks.mem,power.limit --format=csv
git rev-parse HEAD 2>/dev/null
python3 -c "import torch; assert torch.cuda.is_available(), 'no CUDA device'" || exit 1

# step LIMIT-IN-SECONDS COMMAND ...
step() {
  local limit=$1 begun=$SECONDS; shift
  echo "== $*"
  timeout --kill-after=5 "$limit" bash -c '"$@"' -- "$@"
  echo "== exit $?, $((SECONDS - begun)) s of $limit"
}

shapes=tests/benchmarks/shapes
for name in $steps; do
  case $name in
    tests)
      step 180 python3 -m pytest -m gpu -q -ra -p no:cacheprovider --numprocesses 12 --maxfail 60 tests/kernels tests/engine ;;
    attention)
      step 180 attentropy bench --seconds 0.2 --limit 2.4 --heads 64/8 --mask causal -d 128,64 -n 16k,64k,128k \
        --rival 'ours*' --rival flash --rival cudnn --rival 'cudnn twice*' -o "$out/attention.json" --force ;;
    others)
      step 180 attentropy bench --seconds 0.2 --limit 2.4 --heads 64/8 --mask causal -d 128,64 -n 16k,64k \
        --rival 'ours, entropy' --rival cudnn --rival 'attention_*' --rival 'cudnn once*' \
        --rival '*+ sweep' --rival eager -o "$out/others.json" --force ;;
    profile)
      step 130 attentropy profile $shapes/llama-3.1-8b --random-weights --dtype bfloat16 --tokens 128k \
        --repeat 1 -o "$out/profile-128k.zarr.zip" --force ;;
    profile-256k)
      step 300 attentropy profile $shapes/llama-3.1-8b --random-weights --dtype bfloat16 --tokens 256k \
        --repeat 1 -o "$out/profile-256k.zarr.zip" --force ;;
    vocabulary)
      step 70 attentropy bench --what vocabulary --seconds 0.5 --limit 0.9 -o "$out/vocabulary.json" --force ;;
    *)
      echo "no step $name" ; exit 2 ;;
  esac
done
