#!/usr/bin/env bash
# Runs tests of the storage-proxy on ext4 and on XFS with project quotas, whatever this machine's kernel can: in User-mode
# Linux, a kernel that is a program (https://docs.kernel.org/virt/uml/user_mode_linux_howto_v2.html). It sees our files,
# read-only, and a disk of its own. Needs no root, and boots in a second.
#
#   test-projquota.sh quick | all | PATTERN [--if-possible]
#
# quick: the tests of project quotas. all: also the other tests about tasks and files, since all they do has to work in
# trees that have them. PATTERN: those whose names it is in (grep -E). --if-possible: says what is lacking and succeeds,
# where User-mode Linux can't be had.
#
# The kernel is the distribution's (Debian, Ubuntu: user-mode-linux). Where it is not installed, its package is fetched and
# unpacked beside our build, so that nothing is left on the system.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly which=${1:-quick} possible=${2:-}
readonly kept=${VFOLDER_TEST_UML:-$PWD/target/test-uml}
# What works on volumes where temporary files are, but for what takes gigabytes or, there, hours.
readonly ALL='^(archives::(extract|hostile)|crash|ending|files::(below|moving|removing)|late|projects|quota|reclaim|stale_grant|tasks|transfers::(landing|uploading|whole)|vanish)::'
readonly QUICK='^projects::'

say() { printf 'test-projquota: %s\n' "$*" >&2; }

cannot() {
    if [ "$possible" = --if-possible ]; then
        say "NOT CHECKED: project quotas of ext4 and XFS ($*)"
        exit 0
    fi
    say "can't test project quotas: $*"
    exit 1
}

fetch() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    say "fetching the package user-mode-linux with apt-get"
    mkdir -p "$kept"
    (
        cd "$kept"
        apt-get download -qq user-mode-linux 2>/dev/null ||
            { apt-get update -qq && apt-get download -qq user-mode-linux; }
        dpkg -x user-mode-linux_*.deb .
        rm -f user-mode-linux_*.deb
    ) >&2
}

find_kernel() {
    local linux
    if linux=$(command -v linux.uml) && [ -d /usr/lib/uml/modules ]; then
        kernel=$linux modules=/usr/lib/uml/modules
        return
    fi
    [ -x "$kept/usr/bin/linux.uml" ] || fetch || cannot "User-mode Linux is not there: apt-get install user-mode-linux"
    kernel=$kept/usr/bin/linux.uml modules=$kept/usr/lib/uml/modules
}

[ "$(uname -m)" = x86_64 ] || cannot "User-mode Linux is for x86-64"
command -v perl >/dev/null || cannot "perl is missing: apt-get install perl"
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
for tool in mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs; do
    command -v "${tool%:*}" >/dev/null || cannot "${tool%:*} is missing: apt-get install ${tool#*:}"
done
kernel='' modules=''
find_kernel
quota=$(find "$modules" -name quota_v2.ko -printf '%h\n' | head -n 1)
[ -n "$quota" ] || cannot "$modules has no quota_v2.ko"

binary=$(cargo test --quiet --workspace --test it --no-run --message-format=json |
    sed -n '/"kind":\["test"\]/s/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$binary" ] || { say "no test binary"; exit 1; }

# Memory, if there is a filesystem in it: also that of the machine lies here, which can't see it.
work=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
tests=$(mktemp "$(dirname "$binary")/projquota-tests-XXXXXX")
children=()
# By the trap below, which shellcheck doesn't follow.
# shellcheck disable=SC2329
stop() {
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    wait || true
    rm -rf "$work" "$tests"
}
trap stop EXIT
trap 'exit 1' TERM INT

case $which in
quick) pattern=$QUICK minutes=10 ;;
all) pattern=$ALL minutes=60 ;;
*) pattern=$which minutes=60 ;;
esac
"$binary" --list 2>/dev/null | sed -n 's/: test$//p' | grep -E "$pattern" >"$tests"

boot() {
    local filesystem=$1
    local disk=$work/$filesystem.disk
    truncate -s 4G "$disk"
    case $filesystem in
    ext4) mkfs.ext4 -qF -O quota,project -E quotatype=prjquota,nodiscard,lazy_itable_init=1 "$disk" ;;
    xfs) mkfs.xfs -qf -K "$disk" ;;
    esac
    mkdir -p "$work/$filesystem"
    TMPDIR=$work HOME=$work exec timeout "${minutes}m" "$kernel" mem=1536M uml_dir="$work/$filesystem" \
        rootfstype=hostfs rootflags=/ ro quiet loglevel=2 init="$PWD/scripts/projquota-init.sh" \
        con=null con0=null,fd:1 ubd0="$disk" filesystem="$filesystem" modules="$quota" binary="$binary" \
        tests="$tests" long= </dev/null >"$work/$filesystem.log" 2>&1
}

for filesystem in ext4 xfs; do
    boot "$filesystem" &
    children+=($!)
done
for child in "${children[@]}"; do wait "$child" || true; done
children=()

result=0
for filesystem in ext4 xfs; do
    log=$work/$filesystem.log
    if ! grep -q "^projquota: $filesystem: begins" "$log"; then
        tail -n 20 "$log" >&2
        cannot "User-mode Linux does not boot here"
    fi
    # The kernel ends its lines as terminals do.
    tr -d '\r' <"$log" >"$log.text"
    if grep -q "^projquota: $filesystem: all [0-9]* passed" "$log.text"; then
        sed -n 's/^projquota: //p' "$log.text"
    else
        cat "$log.text"
        result=1
    fi
done
exit "$result"
