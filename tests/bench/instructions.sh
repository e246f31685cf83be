#!/usr/bin/env bash
# Counts the instructions that our server executes for each call and each delivery: runs it under valgrind's callgrind with few
# calls and with many and divides the difference, so that its beginning and end do not count. What the kernel does is not in it.
#
#   tests/bench/instructions.sh [--only TEXT,..] [--ours COMMAND]
#
# The profiles stay in target/callgrind-out: callgrind_annotate --inclusive=yes FILE, or kcachegrind. --ours is a server that prints
# READY http://HOST:PORT and ends with its standard input; it has to be the program itself, not a script around it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target="${CARGO_TARGET_DIR:-target}"
tools="$target/bench-server"
cargo build --release --quiet --manifest-path tests/bench/server/Cargo.toml --target-dir "$tools"
ours=()
case " $* " in *" --ours "*) ;; *)
    # What is released, with the lines of the source, so that profiles can be read.
    cargo build --quiet -p signalr-harness --bin test-hubs --profile callgrind \
        --config 'profile.callgrind.inherits="release"' --config 'profile.callgrind.debug="line-tables-only"'
    ours=(--ours "$target/callgrind/test-hubs") ;;
esac
exec "$tools/release/signalr-bench" instructions --into "$target/callgrind-out" "${ours[@]}" "$@"
