#!/usr/bin/env bash
# Runs every fuzz target for so many minutes, and prints how much each did.
#
#   fuzz/run.sh 10                      ten minutes each
#   fuzz/run.sh 0.2 decode_json sse     twelve seconds each of these
#   SIGNALR_JOBS=2 fuzz/run.sh 10       two at a time, each of which does less where there are not as many cores
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
command -v cargo-fuzz >/dev/null 2>&1 || cargo install --locked --debug cargo-fuzz
# Cargo and the compiler take unstable options.
export RUSTC_BOOTSTRAP=1
cargo fuzz build --sanitizer none

logs="$(mktemp -d)"
trap 'rm -rf "$logs"' EXIT

run() {
    local target="$1" found="fuzz/found/$1" log="$logs/$1" result=ok entropic=1
    mkdir -p "$found"
    # To weigh inputs by how rare their features are takes long where runs have thousands of features; without it more is found.
    case "$target" in client_* | server_* | backplane*) entropic=0 ;; esac
    cargo fuzz run --sanitizer none "$target" "$found" "fuzz/corpus/${target%_compared}" -- \
        -entropic="$entropic" -max_total_time="$seconds" -print_final_stats=1 >"$log" 2>&1 || result=FAILED
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -n 1; }
    printf '%-28s %12s %10s %10s  %s\n' "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" \
        "$(find "$found" -type f | wc -l)" "$result"
    if [ "$result" = FAILED ]; then
        tail -n 60 "$log"
        touch "$logs/failed"
    fi
}

printf '%-28s %12s %10s %10s  %s\n' target executions 'per second' corpus result
for target in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "${SIGNALR_JOBS:-1}" ]; do
        wait -n
    done
    run "$target" &
done
wait
[ ! -e "$logs/failed" ]
