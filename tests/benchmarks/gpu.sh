#!/usr/bin/env bash
# What only a GPU can show, in one call of under twelve minutes: are the kernels right, which variant is
# fastest, what do the statistics, a long prefill and the vocabulary cost.
#
#   tests/benchmarks/gpu.sh FOLDER [STEP ...]     (default: variants tests prefill new vocabulary other-tests others)
#   tests/benchmarks/gpu.sh --dry-run FOLDER      (each step in miniature on a CPU, with stubs)
#
# Each step ends at its own limit, none starts or runs after GPU_SECONDS (690), and each leaves what it
# has; log.txt says how each ended. Where packages are missing and nothing can be fetched, wheels lie in
# .wheels (README.md in this folder). Kernels that no GPU has run yet are taken by the steps that set
# ATTENTROPY_HOPPER=lazy, and by no other.
set -uo pipefail
cd "$(dirname "$0")/../.."
dry=
[ "${1:-}" = --dry-run ] && { dry=1; shift; }
[ $# -ge 1 ] || { sed -n '5,6p' "$0"; exit 2; }
out=$1; shift
steps=${*:-variants tests prefill new vocabulary other-tests others}
mkdir -p "$out"
exec > >(tee -a "$out/log.txt") 2>&1
unset TRITON_INTERPRET
export PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
python=${PYTHON:-python3}
export python
if [ -z "$dry" ] && compgen -G '.wheels/*.whl' >/dev/null; then
  site=$(mktemp -d)
  for wheel in .wheels/*.whl; do
    $python -m pip install -q --no-index --no-deps --no-compile --target "$site" "$wheel" \
      || echo "== $wheel does not install here"
  done
  PYTHONPATH=$PYTHONPATH:$site
fi
attentropy() { "$python" -m attentropy.report.cli "$@"; }
lazy() { ATTENTROPY_HOPPER=lazy "$@"; }
export -f attentropy lazy

git rev-parse HEAD 2>/dev/null
if [ -z "$dry" ]; then
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm,clocks.mem,power.limit --format=csv
  $python -c "import torch; assert torch.cuda.is_available(), 'no CUDA device'" || exit 1
fi

# Sizes of the steps; in a dry run, what a CPU does in seconds.
shapes=tests/benchmarks/shapes
long=16k,64k,128k middle=16k,64k short=16k heads=64/8 sizes=128,64 model=$shapes/llama-3.1-8b tokens=128k longest=256k
measure=(440) collect=() dtype=(--dtype bfloat16) quick=(--seconds 0.2 --limit 2.4)
vocabulary=(--seconds 0.5 --limit 0.6)
if [ -n "$dry" ]; then
  long=64 middle=64 short=64 heads=4/2 sizes=64 model=$shapes/small tokens=64 longest=128
  measure=(5 --dry-run) collect=(--collect-only) dtype=() quick=(--seconds 0 --limit 0.5)
  vocabulary=(--seconds 0 --limit 0.1 -n 8 --width 16 --tokens 64)
fi
bench=(attentropy bench "${quick[@]}" --heads "$heads" --mask causal -d "$sizes" --force)
profile=(attentropy profile "$model" --random-weights "${dtype[@]}" --tokens "$tokens" --repeat 1 --force
  --stats entropy,max_prob,distance,sink_mass,top_key)

pytest=("$python" -m pytest -m gpu -q -ra -p no:cacheprovider "${collect[@]:---numprocesses=14}"
  --maxfail 60)

# step LIMIT-IN-SECONDS COMMAND ...: none takes longer than what is left of all.
failed=0
step() {
  local begun=$SECONDS left=$((${GPU_SECONDS:-690} - SECONDS)) limit=$1; shift
  if [ -n "$dry" ]; then  # a busy machine is no failure
    limit=$((limit * 10))
  elif [ "$limit" -gt "$left" ]; then
    limit=$left
  fi
  if [ "$limit" -lt 10 ]; then echo "== not enough time for: $*"; return; fi
  echo "== $* ($limit s at most)"
  timeout --kill-after=5 "$limit" bash -c '"$@"' -- "$@"
  local code=$?
  [ $code -eq 0 ] || failed=1
  echo "== exit $code, $((SECONDS - begun)) s of $limit"
}

for name in $steps; do
  case $name in
    variants)  # first of all: which variant is right, how fast each is, and why
      step 450 "$python" tests/benchmarks/variants/measure.py "$out/variants" "${measure[@]}" ;;
    tests)  # of what no GPU has run yet
      step 80 "${pytest[@]}" tests/kernels/attention/test_hopper*.py tests/kernels/second_sweep/test_hopper.py ;;
    other-tests)
      step 150 "${pytest[@]}" tests/kernels tests/engine ;;
    prefill)  # the statistics that a run keeps, in a prefill of 131,072 tokens
      step 90 lazy "${profile[@]}" -o "$out/prefill-lazy.zarr.zip" ;;
    prefill-today)
      step 90 "${profile[@]}" -o "$out/prefill-today.zarr.zip" ;;
    new)  # the same by today's kernels and by those that are taken on demand
      step 45 lazy "${bench[@]}" -n "$short" --rival 'ours*statistic*' --rival attention_received \
        -o "$out/lazy.json"
      step 45 "${bench[@]}" -n "$short" --rival 'ours*statistic*' --rival attention_received \
        --rival 'flash-attn 3' -o "$out/today.json" ;;
    vocabulary)
      step 50 attentropy bench --what vocabulary "${vocabulary[@]}" -o "$out/vocabulary.json" --force ;;
    others)
      step 150 "${bench[@]}" -n "$middle" --rival 'ours, entropy' --rival cudnn --rival 'attention_*' \
        --rival 'cudnn once*' --rival '*+ sweep' --rival eager -o "$out/others.json" ;;
    attention)
      step 180 "${bench[@]}" -n "$long" --rival 'ours*' --rival flash --rival cudnn --rival 'flash-attn*' \
        --rival 'cudnn twice*' -o "$out/attention.json" ;;
    prefill-256k)
      step 300 "${profile[@]}" --tokens "$longest" -o "$out/prefill-256k.zarr.zip" ;;
    *)
      echo "no step $name" ; exit 2 ;;
  esac
done
echo "== all steps: $SECONDS s"
[ -z "$dry" ] || exit $failed
