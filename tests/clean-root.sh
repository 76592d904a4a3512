#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Proves that a new machine needs nothing but this repository: makes a bare Debian root with debootstrap, clones the
# committed state into it, and runs ./dev there. Afterwards no process may be left in the root: nothing that ./dev installs
# or starts outlives it.
#
#   tests/clean-root.sh SUITE [--user] [COMMAND...]
#
# SUITE is bookworm or trixie. --user: as an ordinary user with sudo, not as root. COMMAND is what to run instead of
# `./dev up --check && ./dev test`. Needs root and debootstrap. Packages come from the mirror of this machine's apt;
# POSTHOUSE_MIRROR names another. POSTHOUSE_ROOT_BASE names a directory with a bare root to copy instead of making one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

suite=${1:?usage: tests/clean-root.sh SUITE [--user] [COMMAND...]}
shift
user=root
if [[ ${1-} == --user ]]; then
    user=builder
    shift
fi
command=${*:-./dev up --check && ./dev test}
# shellcheck disable=SC2016 # apt's own variables
mirror=${POSTHOUSE_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' \
    'Component: main' | head -n 1)}
root=$(mktemp -d "/var/tmp/posthouse-root-$suite-XXXXXX")

# Processes whose root is ours.
left() {
    local link
    for link in /proc/[0-9]*/root; do
        [[ $(readlink "$link" 2>/dev/null) == "$root"* ]] || continue
        link=${link%/root}
        printf '%s %s\n' "${link#/proc/}" "$(tr '\0' ' ' <"$link/cmdline")"
    done
}

# shellcheck disable=SC2317 # called by the trap
cleanup() {
    local pid _
    while read -r pid _; do kill -9 "$pid" 2>/dev/null || true; done < <(left)
    umount "$root/dev/shm" "$root/proc" 2>/dev/null || true
    mountpoint -q "$root/proc" || rm -rf --one-file-system "$root"
}
trap cleanup EXIT

echo "== a bare $suite in $root"
chmod 755 "$root"
if [[ -n ${POSTHOUSE_ROOT_BASE-} ]]; then
    cp -a "$POSTHOUSE_ROOT_BASE/." "$root/"
else
    debootstrap --variant=minbase "$suite" "$root" "$mirror" >/dev/null
fi
apt-config dump | grep -E '^Acquire::(http|https)::Proxy' >"$root/etc/apt/apt.conf.d/90host" || true
cp /etc/resolv.conf "$root/etc/resolv.conf"
node_env=() # npm may reach its registry through an authority of this machine's own
if [[ -n ${NODE_EXTRA_CA_CERTS-} ]]; then
    install -m 644 "$NODE_EXTRA_CA_CERTS" "$root/etc/node-ca.pem"
    node_env=(NODE_EXTRA_CA_CERTS=/etc/node-ca.pem)
fi
mount -t proc proc "$root/proc"
mkdir -p "$root/dev/shm"
mount -t tmpfs shm "$root/dev/shm" # the device nodes are debootstrap's own: nothing of this machine's /dev is shared

if [[ $user != root ]]; then
    chroot "$root" sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends sudo' >/dev/null
    chroot "$root" useradd -m -s /bin/bash "$user"
    echo "$user ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/$user"
fi
git clone -q --no-hardlinks . "$root/srv/posthouse"
chroot "$root" chown -R "$user" /srv/posthouse

echo "== as $user: $command"
status=0
chroot "$root" env -i HOME="$(chroot "$root" getent passwd "$user" | cut -d: -f6)" TERM=dumb LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${node_env[@]}" \
    runuser -u "$user" -- bash -c "cd /srv/posthouse && $command" || status=$?

sleep 1
remaining=$(left)
if [[ -n $remaining ]]; then
    printf '== processes that were left behind:\n%s\n' "$remaining"
    status=1
fi
if ls -d "$root"/etc/postgresql/*/* >/dev/null 2>&1; then
    echo "== a cluster of the system was made"
    status=1
fi
echo "== $suite as $user: exit status $status"
exit "$status"
