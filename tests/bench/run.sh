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

# In subshells, since `pin` replaces them; the hub ends with its standard input.
coproc HUB { pin 1 "$examples/plain_hub"; }
read -r _ url <&"${HUB[0]}"

results="$(mktemp)"
for _ in $(seq "$rounds"); do
    (pin 0 "$examples/calls" compare "$url" "$((seconds * 4))") | sed 's/^/compare /' | tee -a "$results"
    (pin 0 "$examples/calls" hub "$url" 64 "$seconds") | sed 's/^/many /' | tee -a "$results"
    (pin 0 "$examples/calls" hub "$url" 64 "$seconds" messagepack) | sed 's/^/packed /' | tee -a "$results"
    [ ! -d "$js/node_modules" ] || (pin 0 node "$js/calls.mjs" "$url" 64 "$seconds") | sed 's/^/javascript /' | tee -a "$results"
done

median() { # NAME FIELD: the median of that field
    sed -n "s/^$1 .*\"$2\":\([0-9.]*\).*/\1/p" "$results" | sort -n | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)]; else print 0 }'
}
rate=invocations_per_second
awk -v over_echo="$(median compare over_echo)" -v over_raw="$(median compare over_raw)" \
    -v call="$(median compare call_us)" -v echo="$(median compare echo_us)" \
    -v many="$(median many $rate)" -v packed="$(median packed $rate)" -v js="$(median javascript $rate)" 'BEGIN {
    printf "round trip of a call: %.2f us, of a bare echo: %.2f us, median of the ratios %.3f (at most 1.10 wanted)\n", call, echo, over_echo
    printf "over a bare client that sends the same bytes to the same hub: %.3f\n", over_raw
    printf "64 in flight: %d calls/s (MessagePack: %d)\n", many, packed
    if (js > 0) printf "the JavaScript client: %d calls/s, ratio %.2f (at least 3 wanted)\n", js, many / js
}'
rm -f "$results"
