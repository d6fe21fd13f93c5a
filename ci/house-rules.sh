#!/usr/bin/env bash
# ci/house-rules.sh: rules of this project that a script can check. Prints every offence, fails if any.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

offences=0
report() { # report TITLE < offending lines
    local lines
    lines=$(cat)
    [ -n "$lines" ] || return 0
    printf 'house rules: %s:\n' "$1"
    printf '%s\n' "$lines" | sed 's/^/    /'
    offences=$((offences + 1))
}
sources() { # sources FOLDER...: the Rust files below those folders that exist
    local folder
    for folder in "$@"; do
        [ ! -d "$folder" ] || find "$folder" -name target -prune -o -name '*.rs' -print
    done | sort
}
grep_in() { # grep_in PATTERN < list of files
    xargs -r grep -nHE -e "$1" || true
}
# Code of the library without comments and tests, as FILE:LINE:CODE.
library_code=$(sources src | grep -vE '(^|/)test(s|ing)?(\.rs$|/)' | xargs -r awk -f ci/code-only.awk)
[ -n "$library_code" ] || { echo "house rules: there is no code in src"; exit 1; }
code() { # code PATTERN [EXCLUDED-FILES]: matching lines of the library's code
    printf '%s\n' "$library_code" | grep -vE "^(${2:-//})" | grep -E "^[^:]*:[0-9]+:.*($1)" || true
}

everything=$(sources src tests cli capi testkit bare benches loom-tests fuzz python)
files() { printf '%s\n' "$everything"; }

report "unfinished places" < <(files | grep_in 'todo!\(|unimplemented!\(|FIXME')
report "ignored tests" < <(files | grep_in '#\[ignore')
report "files over 900 lines" < <(files | xargs -r wc -l | awk '$2 != "total" && $1 > 900 {print $2 ": " $1}')
report "thread or loom cfg outside src/sync and src/lib.rs" < <(
    code 'feature *= *"(std-threads|spin-threads)"|cfg.*\<loom\>' 'src/sync/|src/lib\.rs:')
report "std in the no_std core" < <(code '(^|[^A-Za-z0-9_])std::' 'src/(io|sync)/|src/lib\.rs:')
report "panics where data of a file flows" < <(
    code '\.unwrap\(\)|\.expect\(|\<panic!\(' | grep -E '^src/(format|codec|io|xlat|attr)[/.]' || true)
report "front ends that reach behind the public interface" < <(
    sources cli capi | grep_in '#\[path|include!\(.*\.\./')
report "imports against the layers" < <(
    printf '%s\n' "$library_code" | python3 ci/layers.py || echo "ci/layers.py is not content")

# FILE::TEST for each test; those in mod.rs and tests.rs have the name of the folder.
tests_that_exist() {
    sources src tests cli/tests | xargs -r grep -HoE 'fn [a-z0-9_]+\(\)' \
        | sed -E 's,/(mod|tests)\.rs:,.rs:,; s,^.*/([a-z0-9_]+)\.rs:fn ([a-z0-9_]+)\(\)$,\1::\2,' | sort -u
}
report "tests that docs/format-tests.md names and nobody wrote" < <(
    comm -23 <(grep -oE '`[a-z0-9_]+::[a-z0-9_]+`' docs/format-tests.md | tr -d '`' | sort -u) <(tests_that_exist))

if [ "$offences" -gt 0 ]; then exit 1; fi
echo "house rules: kept in $(files | wc -l) files"
