#!/usr/bin/env bash
# Compares our server with Microsoft's in a farm: both stand around one Redis of the script's own, and messages that another server
# might have sent are published straight to it; then what a publish costs our server beside a bare PUBLISH of the same bytes. The
# server under load has core 0, Redis and the load generator share core 1. Prints tables of medians, ratios and goals.
# docs/performance.md says more.
#
#   tests/bench/farm.sh [--only TEXT,..] [--rounds 5] [--seconds 1] [--ours COMMAND] [--reference COMMAND] [--check]
#
# The commands get --redis HOST:PORT --prefix NAME. redis-server is looked for in SIGNALR_REDIS, then on the path; Microsoft's server
# in SIGNALR_REFERENCE_SERVER, then beside the checkout; without it, its column stays empty.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target="${CARGO_TARGET_DIR:-target}"
tools="$target/bench-server"
cargo build --release --quiet --manifest-path tests/bench/server/Cargo.toml --target-dir "$tools"
cargo build --profile bench --quiet -p signalr-tests --example publish

pin() { # CORE COMMAND...
    local core="$1"
    shift
    if command -v taskset >/dev/null && [ "$(nproc)" -gt 1 ]; then exec taskset -c "$core" "$@"; else exec "$@"; fi
}

redis="${SIGNALR_REDIS:-redis-server}"
command -v "$redis" >/dev/null || { echo "redis-server is not installed: there is no farm" >&2; exit 1; }
port=$((20000 + RANDOM % 10000))
# It may be behind its subscribers: the load generator waits for them anyway.
(pin 1 "$redis" --port "$port" --bind 127.0.0.1 --save "" --appendonly no --client-output-buffer-limit "pubsub 0 0 0") >/dev/null &
redis_id=$!
trap 'kill "$redis_id" 2>/dev/null' EXIT

rivals=()
case " $* " in *" --ours "*) ;; *)
    # The first start builds it.
    tests/hubs.sh </dev/null >/dev/null
    rivals+=(--ours "tests/hubs.sh --urls http://127.0.0.1:0") ;;
esac
case " $* " in *" --reference "*) ;; *)
    reference="${SIGNALR_REFERENCE_SERVER:-../shared/aspnet/server.sh}"
    if [ -x "$reference" ]; then
        rivals+=(--reference "$reference --urls http://127.0.0.1:0")
    else
        echo "Microsoft's server is not installed: there is nothing to compare with" >&2
    fi ;;
esac

export DOTNET_TC_CallCountingDelayMs="${DOTNET_TC_CallCountingDelayMs:-0}"
ulimit -n "$(ulimit -Hn)" || true
status=0
core=()
! command -v taskset >/dev/null || [ "$(nproc)" -le 1 ] || core=(--core 0)
(pin 1 "$tools/release/signalr-bench" compare --redis "127.0.0.1:$port" "${core[@]}" "${rivals[@]}" "$@") || status=$?
echo
(pin 0 "$target/release/examples/publish" "redis://127.0.0.1:$port") || status=$?
exit "$status"
