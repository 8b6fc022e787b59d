#!/usr/bin/env bash
# Brings the tools that bench-tree compares with, and those it makes filesystems with.
#
#   bench-peers.sh DIRECTORY      where cargo installs to
set -euo pipefail

readonly root=$1

say() { printf 'bench-peers: %s\n' "$*" >&2; }

# The programs to look for, and the packages that they are in.
need() {
    local package=$1 program
    shift
    for program in "$@"; do
        command -v "$program" >/dev/null && continue
        say "installing $package with apt-get"
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" >/dev/null ||
            { apt-get update -qq && apt-get install -qq -y --no-install-recommends "$package" >/dev/null; }
        return
    done
}

# One version each, so that figures of different days compare.
crate() {
    [ -x "$root/bin/$1" ] && return
    say "building $1 $2; once"
    cargo install --quiet --locked --root "$root" "$1@$2" ||
        say "$1 can't be built: it is left out"
}

need coreutils cp rm du sync
need rsync rsync
need tar tar
need util-linux unshare mount
need e2fsprogs mkfs.ext4
need xfsprogs mkfs.xfs
need btrfs-progs mkfs.btrfs btrfs

crate cpz 3.2.1
crate rmz 3.2.1
crate xcp 0.24.9
crate fcp 0.2.2
