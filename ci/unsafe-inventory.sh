#!/usr/bin/env bash
# ci/unsafe-inventory.sh: each use of `unsafe` in src/ stands in a file that the crate documentation lists
# under a heading with the word "unsafe", and its reason (SAFETY, or "# Safety" for what callers must keep)
# stands right before it. Each listed file must still need its place in the list. Reasons are asked for in
# bare/ too, which is a program and lists nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

# The headings are of any level; the list ends at the next heading.
listed=$(awk '
    !/^\/\/!/ { next }
    /^\/\/! *#/ { inside = tolower($0) ~ /unsafe/; next }
    inside' src/lib.rs | grep -oE '[A-Za-z0-9_/]+\.rs' | sed 's,^src/,,' | sort -u || true)

# FILE:LINE:yes|no - is there a reason in the comments and attributes directly before? A statement that is
# broken before its `unsafe` may carry it before its first line.
# shellcheck disable=SC2016 # the awk program has its own $
found=$(find src bare/src -name '*.rs' | sort | xargs awk '
    FNR == 1 { reason = 0 }
    {
        code = $0
        sub(/^ */, "", code)
    }
    code ~ /^\/\// { if (code ~ /SAFETY:|# Safety/) reason = 1; next }
    code ~ /^#!?\[/ { next }
    {
        gsub(/"([^"\\]|\\.)*"/, "\"\"", code)
        if (code ~ /\/\/.*SAFETY:/) reason = 1
        sub(/ *\/\/.*/, "", code)
    }
    code ~ /(^|[^A-Za-z0-9_])unsafe($|[^A-Za-z0-9_])/ { print FILENAME ":" FNR ":" (reason ? "yes" : "no") }
    code !~ /[=(]$/ { reason = 0 }')

fail=0
for place in $found; do
    IFS=: read -r file line reason <<< "$place"
    [[ $file == bare/* ]] || grep -qxF "${file#src/}" <<< "$listed" || {
        echo "unsafe inventory: $file:$line: the crate documentation does not list this file"
        fail=1
    }
    [ "$reason" = yes ] || {
        echo "unsafe inventory: $file:$line: no SAFETY reason right before it"
        fail=1
    }
done
for file in $listed; do
    grep -q "^src/$file:" <<< "$found" || {
        echo "unsafe inventory: src/lib.rs lists $file, which has no unsafe code"
        fail=1
    }
done
[ "$fail" = 0 ] || exit 1
echo "unsafe inventory: $(grep -c '^src/' <<< "$found" || true) uses in $(grep -c . <<< "$listed" || true) files"
