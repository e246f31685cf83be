#!/usr/bin/env bash
# Compares our server with Microsoft's, with socketioxide and with a bare echo: all in turn, several rounds, each server on core 0
# and the load generator on core 1. Prints one table of medians, ratios and goals. docs/performance.md says more.
#
#   tests/bench/server.sh [--only TEXT,..] [--rounds 5] [--seconds 1] [--connections 8000] [--settle 3] [--nap 0]
#                         [--ours COMMAND] [--reference COMMAND] [--check]
#
# --only picks the loads whose names contain a TEXT: echo, broadcast, idle, "100x16 json", …  --ours is a server that prints
# READY http://HOST:PORT and ends with its standard input. --check fails when a goal is missed. Microsoft's server is looked for in
# SIGNALR_REFERENCE_SERVER, then beside the checkout; without it, its columns stay empty.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target="${CARGO_TARGET_DIR:-target}"
tools="$target/bench-server"
cargo build --release --quiet --manifest-path tests/bench/server/Cargo.toml --target-dir "$tools" --features socketioxide
bench="$tools/release"

rivals=(--floor "$bench/floor" --socketioxide "$bench/socketioxide-echo")
case " $* " in *" --ours "*) ;; *)
    if [ -x tests/hubs.sh ]; then
        # The first start builds it.
        tests/hubs.sh </dev/null >/dev/null
        rivals+=(--ours "tests/hubs.sh --urls http://127.0.0.1:0")
    else
        cargo build --release --quiet -p signalr-harness --bin test-hubs
        rivals+=(--ours "$target/release/test-hubs")
    fi ;;
esac
case " $* " in *" --reference "*) ;; *)
    reference="${SIGNALR_REFERENCE_SERVER:-../shared/aspnet/server.sh}"
    if [ -x "$reference" ]; then
        rivals+=(--reference "$reference --urls http://127.0.0.1:0")
    else
        echo "Microsoft's server is not installed: there is nothing to compare with" >&2
    fi ;;
esac

# .NET compiles anew what is used much, but waits for quiet first, which takes half a minute under load. This is for its best.
export DOTNET_TC_CallCountingDelayMs="${DOTNET_TC_CallCountingDelayMs:-0}"

# A socket for each of the idle connections.
ulimit -n "$(ulimit -Hn)" || true
if command -v taskset >/dev/null && [ "$(nproc)" -gt 1 ]; then
    exec taskset -c 1 "$bench/signalr-bench" compare --core 0 "${rivals[@]}" "$@"
fi
exec "$bench/signalr-bench" compare "${rivals[@]}" "$@"
