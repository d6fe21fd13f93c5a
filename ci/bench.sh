#!/usr/bin/env bash
# ci/bench.sh: the cases of the benchmark that have a target, in a short form: fails below 80% of one. Only
# ratios to the C library of the distribution in the same run count, never times, and what is taken is the time
# of the processor: others may use the machine, too. Targets that are known to be missed stand with their reasons
# in benches/src/known.rs; these fail below 80% of what was measured. What fails is measured up to twice more, and
# the best run counts: a short run finds what became slower, and is no source of figures. Our C ABI takes no part.
# Arguments go to the benchmark (--json FILE, --rounds N, --only TEXT). Variables:
#   KDUMPFILE_DUMPS        folder of the stored dumps (default ../shared/dumps); without them others are built
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(dpkg-query -W -f '${db:Status-Status}' libkdumpfile10 2> /dev/null)" != installed ]; then
    echo "installing libkdumpfile10"
    apt-get -q update > /dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends libkdumpfile10 > /dev/null
fi
exec cargo run --locked -q --release -p kdumpfile-bench -- --short --cpu --no-c "$@"
