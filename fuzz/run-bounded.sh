#!/usr/bin/env bash
# Runs every fuzz target for a bounded time, and fails where one of them finds something.
#
#   fuzz/run-bounded.sh [SECONDS] [TARGET...]
#
# Works on stable Rust with a C++ compiler: libFuzzer wants coverage from the compiler, not a
# sanitizer. For long runs `cargo fuzz run TARGET` works as well.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-10}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(authority connect path_check jks pkcs12 pem jwk properties config request response http2)

export CARGO_TARGET_DIR="$PWD/target/fuzz"
host=$(rustc -vV | sed -n 's/^host: //p')
# A target is named, so that build scripts and macros are built without instrumentation.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares" \
  cargo build --locked --quiet --manifest-path fuzz/Cargo.toml --target "$host" \
  $(printf -- '--bin %s ' "${targets[@]}")

# Seeds that the tests have anyway.
seeds() {
  case $1 in
    jks | pkcs12 | pem | jwk) echo tests/keystores ;;
    config) echo tests/config/valid tests/config/invalid ;;
    request) echo tests/it/corpus ;;
  esac
}

work="$CARGO_TARGET_DIR/corpus"
found="$CARGO_TARGET_DIR/artifacts"
mkdir -p "$found"
failed=()
for target in "${targets[@]}"; do
  mkdir -p "$work/$target"
  given=()
  for folder in "fuzz/corpus/$target" $(seeds "$target"); do
    [ -d "$folder" ] && given+=("$folder")
  done
  log="$CARGO_TARGET_DIR/$target.log"
  # -max_len: larger inputs than any of the seeds that matter only cost time.
  if "$CARGO_TARGET_DIR/$host/debug/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
    -max_len=16384 -print_final_stats=1 -artifact_prefix="$found/$target-" \
    "$work/$target" "${given[@]}" >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    # A target that did not run has shown nothing.
    [ "${runs:-0}" -ge 100 ] || { failed+=("$target"); echo "FAIL $target: only ${runs:-0} runs, see $log"; continue; }
    echo "ok   $target: $runs runs"
  else
    failed+=("$target")
    echo "FAIL $target, see $log:"
    tail -n 25 "$log"
  fi
done
rm -rf /dev/shm/maskinporten-proxy-fuzz-* 2>/dev/null || true

if [ ${#failed[@]} -gt 0 ]; then
  echo "found something: ${failed[*]} (inputs in $found)" >&2
  exit 1
fi
echo "${#targets[@]} targets, $seconds s each: nothing found"
