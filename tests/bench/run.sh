#!/usr/bin/env bash
# Measures this library, bare WebSockets and the official JavaScript client side by side, in turn and several times, each client on
# one core and the server on another. Prints every figure, the medians' ratios and the goals. Needs node and npm for the latter.
# docs/performance.md says more.
#
#   tests/bench/run.sh [--check] [ROUNDS] [SECONDS]
#
# With --check, a goal that is missed or could not be measured is exit status 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
check=false
if [ "${1:-}" = --check ]; then
    check=true
    shift
fi
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
    (pin 0 "$examples/calls" joined "$other" 64 "$((seconds * 2))") | sed 's/^/joined /' | tee -a "$results"
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
goal() { # RATIO WORD BOUND: whether it is reached, where WORD is most or least
    awk -v ratio="$1" -v word="$2" -v bound="$3" 'BEGIN {
        reached = ratio > 0 && (word == "most" ? ratio <= bound : ratio >= bound)
        printf "at %s %s wanted: %s", word, bound, (reached ? "reached" : (ratio > 0 ? "MISSED" : "not measured"))
        exit !reached
    }'
}
rate=invocations_per_second
many="$(median many $rate)" js="$(median javascript $rate)"
missed=0
trip_goal="$(goal "$(median same over_echo)" most 1.05)" || missed=1
joined_goal="$(goal "$(median joined over_joined)" least 0.75)" || missed=1
over_js="$(awk -v many="$many" -v js="$js" 'BEGIN { printf "%.2f", (js > 0 ? many / js : 0) }')"
js_goal="$(goal "$over_js" least 3)" || missed=1
echo "round trip of a call, client and hub on one core ($trip_goal): $(trip same)"
echo "round trip of a call, the hub on another core: $(trip other)"
echo "64 in flight: $(median joined $rate) calls/s, a bare client that joins ready-made calls $(median joined joined_per_second), median of the ratios $(median joined over_joined) ($joined_goal)"
echo "64 in flight: $many calls/s (MessagePack: $(median packed $rate)), the JavaScript client $js, ratio $over_js ($js_goal)"
rm -f "$results"
[ "$check" = false ] || exit "$missed"
