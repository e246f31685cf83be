#!/usr/bin/env bash
# Measures this library, a bare WebSocket echo and the official JavaScript client side by side, in turn and several times, each
# client on one core and the server on another. Prints every figure and the medians' ratios. Needs node and npm for the latter.
#
#   tests/bench/run.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
rounds="${1:-5}"
seconds="${2:-2}"
examples="${CARGO_TARGET_DIR:-target}/release/examples"
cargo build --profile bench -p signalr-tests --example plain_hub --example calls --quiet
js="${CARGO_TARGET_DIR:-target}/bench-js"
if command -v npm >/dev/null; then
    mkdir -p "$js"
    cp tests/bench/package.json tests/bench/calls.mjs "$js"
    [ -d "$js/node_modules" ] || npm install --prefix "$js" --no-audit --no-fund --no-package-lock --silent
fi

pin() { # CORE COMMAND...
    local core="$1"
    shift
    if command -v taskset >/dev/null; then exec taskset -c "$core" "$@"; else exec "$@"; fi
}

# The client always has core 0. A hub on the same core shows what everything costs together; one on another shows what a
# client costs by itself, and the time to wake an idle core. A hub ends with its standard input, which this script holds.
ready="$(mktemp -u)"
mkfifo "$ready"
exec {same_hub}> >(pin 0 "$examples/plain_hub" >"$ready")
read -r _ same <"$ready"
exec {other_hub}> >(pin 1 "$examples/plain_hub" >"$ready")
read -r _ other <"$ready"
rm -f "$ready"

results="$(mktemp)"
for _ in $(seq "$rounds"); do
    (pin 0 "$examples/calls" compare "$same" "$((seconds * 4))") | sed 's/^/same /' | tee -a "$results"
    (pin 0 "$examples/calls" compare "$other" "$((seconds * 4))") | sed 's/^/other /' | tee -a "$results"
    (pin 0 "$examples/calls" hub "$other" 64 "$seconds") | sed 's/^/many /' | tee -a "$results"
    (pin 0 "$examples/calls" hub "$other" 64 "$seconds" messagepack) | sed 's/^/packed /' | tee -a "$results"
    [ ! -d "$js/node_modules" ] || (pin 0 node "$js/calls.mjs" "$other" 64 "$seconds") | sed 's/^/javascript /' | tee -a "$results"
done

median() { # NAME FIELD: the median of that field
    sed -n "s/^$1 .*\"$2\":\([0-9.]*\).*/\1/p" "$results" | sort -n | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)]; else print 0 }'
}
trip() { # NAME: in words
    awk -v call="$(median "$1" call_us)" -v echo="$(median "$1" echo_us)" \
        -v over_echo="$(median "$1" over_echo)" -v over_raw="$(median "$1" over_raw)" 'BEGIN {
        printf "%.2f us, a bare echo %.2f us, median of the ratios %.3f; over a bare client that sends the same to the same hub %.3f\n", call, echo, over_echo, over_raw
    }'
}
echo "round trip of a call, client and hub on one core (at most 1.05 wanted): $(trip same)"
echo "round trip of a call, the hub on another core: $(trip other)"
rate=invocations_per_second
awk -v many="$(median many $rate)" -v packed="$(median packed $rate)" -v js="$(median javascript $rate)" 'BEGIN {
    printf "64 in flight: %d calls/s (MessagePack: %d)\n", many, packed
    if (js > 0) printf "the JavaScript client: %d calls/s, ratio %.2f (at least 3 wanted)\n", js, many / js
}'
rm -f "$results"
