#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Shell scripts: shellcheck for mistakes, shfmt for the format. A script is what says so in its first line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

for program in shellcheck shfmt; do
    command -v "$program" >/dev/null || {
        echo "skip: $program is not installed"
        exit 77
    }
done

check() {
    local status=0
    shellcheck "$@" || status=1
    shfmt -i 4 -d "$@" || status=1
    return "$status"
}

# shellcheck disable=SC2016 # written to files, not expanded here
self_test() {
    local caught
    bad=$(mktemp -d)
    trap 'rm -rf "$bad"' EXIT
    printf '#!/bin/bash\necho "$1"\n' >"$bad/good.sh"
    printf '#!/bin/bash\nrm -rf $1/x\n' >"$bad/careless.sh"
    printf '#!/bin/bash\nif true; then\n  echo "$1"\nfi\n' >"$bad/crooked.sh"
    check "$bad/good.sh"
    for caught in careless crooked; do
        if check "$bad/$caught.sh" >/dev/null; then
            echo "$caught.sh was not caught"
            exit 1
        fi
    done
}

if [[ ${1-} == --self-test ]]; then
    self_test
    exit
fi

mapfile -t scripts < <(find . -path ./build -prune -o -path ./.git -prune -o -path ./.dev -prune -o -type f -print |
    sort | while IFS= read -r file; do
    [[ $(head -c 40 "$file" | tr -d '\0' | head -n 1) =~ ^\#\!.*(bash|/sh)$ ]] && echo "$file"
done)
check "${scripts[@]}"
