#!/bin/sh
# The first process of the machine that test-projquota.sh starts: mounts the disk with project quotas and runs tests on it.
# The words come from the kernel's command line: `filesystem`, `modules` (a directory), `binary`, `tests` (a file with a
# name per line), `long` (see VFOLDER_TEST_LONG). What it says goes to the console, the verdict last.
# shellcheck disable=SC2154,SC2086
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/ LC_ALL=C

say() { echo "projquota: $filesystem: $*"; }

off() {
    say "$*"
    echo o >/proc/sysrq-trigger
    exec sleep 60
}

# Without kmod and iproute2: perl is wherever dpkg is. 313 is finit_module(2) of x86-64.
load() { perl -e 'open F, "<", shift or die "$!\n"; my $o = ""; syscall(313, fileno(F), $o, 0) == 0 or die "$!\n"' "$1"; }
# SIOCSIFFLAGS, netdevice(7).
raise_loopback() { perl -e 'my $up = pack("a16 s x22", "lo", 0x49); socket(S, 2, 2, 0) && ioctl(S, 0x8914, $up) or die "$!\n"'; }

mount -t proc proc /proc
mount -t sysfs sysfs /sys
say begins
mkdir -p /dev/shm /dev/volume
mount -t tmpfs tmpfs /dev/shm || off "no tmpfs"
case "$binary $modules" in
/tmp/* | *" /tmp/"*) ;;
*) mount -t tmpfs tmpfs /tmp || off "no tmpfs" ;;
esac
raise_loopback || off "no loopback"
if [ "$filesystem" = ext4 ]; then
    for module in quota_tree quota_v2; do
        load "$modules/$module.ko" || off "can't load $module"
    done
fi
mount -t "$filesystem" -o prjquota /dev/ubda /dev/volume || off "can't be mounted with prjquota"
chmod 1777 /dev/volume
export TMPDIR=/dev/volume VFOLDER_TEST_IMAGES=/dev/shm VFOLDER_TEST_LONG="$long"

ran=0 failed=
while read -r name; do
    begun=$(date +%s%3N)
    # Each in a process of its own, as elsewhere.
    if timeout 300 "$binary" --exact "$name" --include-ignored --nocapture >/dev/shm/said 2>&1 </dev/null; then
        result=ok
    else
        result=FAILED failed="$failed $name"
        cat /dev/shm/said
    fi
    say "$name $result ($(($(date +%s%3N) - begun)) ms)"
    ran=$((ran + 1))
done <"$tests"
if ! umount /dev/volume; then
    say "the volume stays busy"
    failed="$failed umount"
fi
if [ -z "$failed" ] && [ "$ran" -gt 0 ]; then
    off "all $ran passed"
fi
off "of $ran failed:$failed"
