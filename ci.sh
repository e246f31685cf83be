#!/usr/bin/env bash
# Everything that must hold before a change lands. CI runs exactly this.
#
#   ./ci.sh            all checks
#   ./ci.sh fmt test   only these
#
# Checks: fmt, clippy, test, docs, features, wasm, deny, package, fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
export RUST_BACKTRACE=1
export PROPTEST_CASES="${PROPTEST_CASES:-256}"
# Nobody measures the release builds made here, and nothing is built twice.
export CARGO_PROFILE_RELEASE_LTO="${CARGO_PROFILE_RELEASE_LTO:-off}" CARGO_PROFILE_RELEASE_CODEGEN_UNITS="${CARGO_PROFILE_RELEASE_CODEGEN_UNITS:-16}"
[ "${CI:-}" != true ] || export CARGO_INCREMENTAL=0

# Installs a cargo subcommand that is missing. Optimized it would be ready later than it is done now.
need() {
    command -v "$1" >/dev/null 2>&1 || cargo install --locked --debug "$1"
}

check_fmt() {
    cargo fmt --all -- --check
    cargo fmt --manifest-path fuzz/Cargo.toml -- --check
    cargo fmt --manifest-path tests/bench/server/Cargo.toml -- --check
}

# The benches of servers are a workspace of their own; without socketioxide, and beside what is built anyway, they build in seconds.
bench() { cargo "$1" --manifest-path tests/bench/server/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}" "${@:2}"; }

# Installs a program that is missing, from the Debian package of its name or from another one.
need_package() {
    command -v "$1" >/dev/null 2>&1 && return
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo)
    export DEBIAN_FRONTEND=noninteractive
    "${root[@]}" apt-get update -qq
    "${root[@]}" apt-get install -y -qq --no-install-recommends "${2:-$1}" >/dev/null
}

# incompatible_msrv, which stands in for an old toolchain, is among the lints.
check_clippy() {
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    bench clippy --all-targets -- -D warnings
}

# Where nothing may be skipped, what is missing is installed: the browser that shows the test's page, the brokers that the tests start
# by themselves on ports of their own, and Node with npm, by which the tests install the official client's packages.
check_test() {
    if [ "${CI:-}" = true ]; then
        need_package chromium
        need_package redis-server
        need_package nats-server
        need_package node nodejs
        need_package npm
    fi
    bench test
    cargo test --workspace --no-run
    [ "${CI:-}" != true ] || prepare &
    timed test --workspace --no-fail-fast
    wait
}

# Tests mostly wait: what later checks need is compiled meanwhile, whenever nothing else wants to run.
prepare() {
    local tool
    for tool in cargo-hack cargo-deny cargo-fuzz; do
        command -v "$tool" >/dev/null 2>&1 || nice -n 19 cargo install --quiet --locked --debug "$tool" || true
    done
}

# Runs cargo, and tells in the end which tests took longest.
timed() {
    local times status=0 host
    times="$(mktemp)"
    host="$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')"
    env "CARGO_TARGET_${host}_RUNNER=$PWD/tests/timed.sh" SIGNALR_TIMES="$times" cargo "$@" || status=$?
    echo "the slowest tests:"
    sed -n 's/^test \(.*\) \.\.\. .*<\([0-9.]*\)s>$/\2 s  \1/p' "$times" | sort -rn | sed -n 1,10p
    rm -f "$times"
    return "$status"
}

check_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --exclude signalr-harness --exclude signalr-tests --no-deps --all-features; }

# Every feature alone and none at all: features are additive, so pairs add little.
check_features() {
    need cargo-hack
    cargo hack clippy --each-feature --no-dev-deps \
        -p signalr -p signalr-client -p signalr-net -p signalr-tokio -p signalr-smol -p signalr-async-std -p signalr-server -p signalr-redis -p signalr-proto -p signalr-cli -p signalr-testkit -- -D warnings
}

# The core and the client build where there are no sockets and no clock.
check_wasm() {
    if rustup target list --installed 2>/dev/null | grep -qx wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown >/dev/null 2>&1; then
        cargo check -p signalr-proto -p signalr-client --target wasm32-unknown-unknown
    else
        echo "skipped: the target wasm32-unknown-unknown cannot be had here; crates/signalr-proto/clippy.toml guards the core"
    fi
}

check_deny() {
    need cargo-deny
    cargo deny --all-features check bans licenses sources
    # The advisory database is a git repository, which not every machine can reach.
    if cargo deny --all-features fetch db >/dev/null 2>&1; then
        cargo deny --all-features check advisories
    else
        echo "skipped: the advisory database cannot be reached"
    fi
}

# Everything that is published can be packed.
check_package() {
    cargo package --quiet --workspace --exclude signalr-harness --exclude signalr-tests --no-verify --allow-dirty
}

# Five seconds for each target, two at a time; the corpus itself is replayed by the tests.
check_fuzz() { SIGNALR_JOBS=2 fuzz/run.sh 0.09; }

for check in "${@:-fmt clippy test docs features wasm deny package fuzz}"; do
    for name in $check; do
        echo "== $name, after $SECONDS s =="
        "check_$name"
    done
done
echo "all checks passed in $SECONDS s"
