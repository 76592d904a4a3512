#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The format of C files, by one version of clang-format, since no two versions agree. It is taken from the machine if
# that has it, else installed with pip into .dev/venv.
#
#   format.sh               complain about what is not formatted
#   format.sh --fix         format it
#   format.sh --self-test   the check catches a badly formatted file
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly version=14.0.6
readonly venv=.dev/venv

is_right() {
    command -v "$1" >/dev/null && [[ $("$1" --version) == *" version $version"* ]]
}

# Prints the program, or fails.
find_program() {
    local program
    for program in "$venv/bin/clang-format" clang-format-14 clang-format; do
        is_right "$program" && echo "$program" && return
    done
    {
        /usr/bin/python3 -m venv "$venv" || python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "clang-format==$version"
    } >&2 && echo "$venv/bin/clang-format"
}

program=$(find_program) || {
    echo "skip: clang-format $version is not here and cannot be installed"
    exit 77
}

case ${1-} in
--fix)
    find src include tests -name '*.[ch]' -print0 | xargs -0 "$program" -i
    ;;
--self-test)
    bad=$(mktemp -d)
    trap 'rm -rf "$bad"' EXIT
    cp .clang-format "$bad"
    printf 'int f(void)\n{\n\treturn 1;\n}\n' >"$bad/good.c"
    printf 'int f(void) {\n    return 1; }\n' >"$bad/bad.c"
    "$program" --dry-run -Werror "$bad/good.c"
    if "$program" --dry-run -Werror "$bad/bad.c" 2>/dev/null; then
        echo "a badly formatted file was not caught"
        exit 1
    fi
    ;;
'')
    # One line per file; what is wrong in it is what --fix changes.
    status=0
    while IFS= read -r -d '' file; do
        "$program" --dry-run -Werror "$file" 2>/dev/null || {
            echo "$file: not formatted; run tests/lint/format.sh --fix"
            status=1
        }
    done < <(find src include tests -name '*.[ch]' -print0 | sort -z)
    exit "$status"
    ;;
*)
    echo "usage: $0 [--fix|--self-test]" >&2
    exit 2
    ;;
esac
