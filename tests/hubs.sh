#!/usr/bin/env bash
# Builds and starts the test hubs: hubs.sh [--urls http://127.0.0.1:0] [--redis HOST:PORT [--prefix NAME]] [--runtime tokio|smol]
#
# Prints "READY http://127.0.0.1:PORT" once they listen, and exits when standard input closes, so keep a pipe to it open.
# Cargo's words go to standard error: whoever starts this waits for one line of standard output.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Programs of tests may be run with it; see tests/timed.sh.
unset RUSTC_BOOTSTRAP
# Cargo becomes the program it runs, so that signals and standard input reach the hubs.
exec cargo run --quiet --release --manifest-path "$root/Cargo.toml" -p signalr-harness --bin test-hubs -- "$@"
