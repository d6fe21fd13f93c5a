#!/usr/bin/env bash
# ci/soak.sh [SECONDS [ROUNDS]]: threads on clones of a real dump, for longer than the tests do it: 8 readers
# while a ninth thread changes all it can (600 s), and rounds of 2, 4 and 8 threads that read all (1000).
set -euo pipefail
cd "$(dirname "$0")/.."
export KDUMPFILE_SOAK=${1:-600} KDUMPFILE_ROUNDS=${2:-1000} CI=true
exec cargo test --locked --release -p kdumpfile --test soak -- --nocapture
