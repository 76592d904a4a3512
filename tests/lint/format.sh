#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The format of C files, by one major version of clang-format, since no two agree; Debian 12 and 13 and Ubuntu 24.04 have
# it as the package clang-format-19.
#
#   format.sh               complain about what is not formatted
#   format.sh --fix         format it
#   format.sh --self-test   the check catches a badly formatted file
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly major=19

# Prints the program, or fails.
find_program() {
    local program
    for program in "clang-format-$major" clang-format; do
        command -v "$program" >/dev/null && [[ $("$program" --version) == *" version $major."* ]] &&
            echo "$program" && return
    done
    return 1
}

program=$(find_program) || {
    echo "skip: clang-format-$major is not installed"
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
