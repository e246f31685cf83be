#!/usr/bin/env bash
# Runs every fuzz target for so many minutes, one after the other, and prints how much each did.
#
#   fuzz/run.sh 10                      ten minutes each
#   fuzz/run.sh 0.2 decode_json sse     twelve seconds each of these
#
# Optimized and without sanitizer: there is no unsafe code here, and what is looked for are panics, broken rules and hangs.
# A target that ends in _compared does the expensive comparisons over the corpus of the one it is named after. What is found
# new stays in fuzz/found/, which is not committed; an input that breaks a rule is in fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

minutes="${1:?usage: fuzz/run.sh MINUTES [TARGET...]}"
seconds="$(awk -v minutes="$minutes" 'BEGIN { seconds = int(minutes * 60); print (seconds < 1 ? 1 : seconds) }')"
targets=("${@:2}")
if [ "${#targets[@]}" = 0 ]; then
    mapfile -t targets < <(sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | tail -n +2)
fi
command -v cargo-fuzz >/dev/null 2>&1 || cargo install --locked cargo-fuzz

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
printf '%-28s %12s %10s %10s  %s\n' target executions 'per second' corpus result
failed=0
for target in "${targets[@]}"; do
    found="fuzz/found/$target"
    mkdir -p "$found"
    result=ok
    # To weigh inputs by how rare their features are takes long where runs have thousands of features; without it more is found.
    case "$target" in client_* | server_* | backplane*) entropic=0 ;; *) entropic=1 ;; esac
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none "$target" "$found" "fuzz/corpus/${target%_compared}" -- \
        -entropic="$entropic" -max_total_time="$seconds" -print_final_stats=1 >"$log" 2>&1 || { result=FAILED; failed=1; }
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -n 1; }
    printf '%-28s %12s %10s %10s  %s\n' "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" \
        "$(find "$found" -type f | wc -l)" "$result"
    if [ "$result" = FAILED ]; then
        tail -n 60 "$log"
    fi
done
exit "$failed"
