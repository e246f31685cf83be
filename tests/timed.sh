#!/usr/bin/env bash
# Runs a program of tests, as cargo's runner, and adds to the file that SIGNALR_TIMES names how long each test took.
#
# Programs of tests tell times with an unstable option, which a variable of the environment allows. Cargo and the compiler must not
# see it, or they build everything again: it is set here and not before, and what tests start without it in tests/hubs.sh.
set -euo pipefail
case "$1" in
# The compiler's words, for which a compiler is started that must be as it is.
*/deps/diagnostics-*) exec "$@" ;;
*/deps/*) RUSTC_BOOTSTRAP=1 "$@" -Z unstable-options --report-time | tee -a "$SIGNALR_TIMES" ;;
# A test of the documentation, or a program that is run.
*) exec "$@" ;;
esac
