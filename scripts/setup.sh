#!/usr/bin/env bash
# Brings what a purpose needs, or says exactly what to install. Quick when all is there.
#
#   setup.sh run | test | foreign | lint | clients | all
set -euo pipefail

readonly NEXTEST_VERSION=0.9.143
readonly PJDFSTEST_VERSION=0.2.2
readonly FSX_VERSION=0.3.2
missing=0

say() { printf 'setup: %s\n' "$*" >&2; }

lacks() {
    say "missing: $1"
    say "    $2"
    missing=1
}

# Runs a command as root, if that takes no password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

apt_install() {
    command -v apt-get >/dev/null || return 1
    say "installing $* with apt-get"
    # A list of packages that was never fetched, or is old, knows no package or a wrong version of it.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null 2>&1 ||
        { as_root apt-get update -qq >/dev/null &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null; }
}

# "1.90" from Cargo.toml's rust-version.
wanted_rust() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml"; }

need_rust() {
    local have want
    want=$(wanted_rust)
    if ! have=$(rustc --version 2>/dev/null | cut -d ' ' -f 2) || ! command -v cargo >/dev/null; then
        lacks "Rust $want or newer" "install it with rustup (https://rustup.rs), or put ~/.cargo/bin into PATH"
    elif [ "$(printf '%s\n' "$want" "$have" | sort -V | head -n 1)" != "$want" ]; then
        lacks "Rust $want or newer (this is $have)" "rustup update stable"
    fi
}

need_compiler() {
    command -v cc >/dev/null || apt_install build-essential ||
        lacks "a C compiler" "apt-get install build-essential"
}

has_postgres() {
    command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

# The server binaries only: no cluster is made and no server started.
install_postgres() {
    if ! [ -e /etc/postgresql-common/createcluster.conf ]; then
        apt_install postgresql-common || return 1
        as_root sed -i 's/^#* *create_main_cluster *=.*/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf
    fi
    apt_install postgresql && has_postgres
}

need_postgres() {
    has_postgres || install_postgres ||
        lacks "the PostgreSQL server binaries (initdb, postgres)" "apt-get install postgresql"
}

need_nextest() {
    cargo nextest --version >/dev/null 2>&1 && return
    say "building cargo-nextest $NEXTEST_VERSION; this takes some minutes, once"
    cargo install --quiet --locked "cargo-nextest@$NEXTEST_VERSION" ||
        lacks "cargo-nextest" "cargo install --locked cargo-nextest"
}

# For tests on real filesystems, which only root can mount: nobody else's run depends on them.
need_filesystems() {
    local path="$PATH:/usr/local/sbin:/usr/sbin:/sbin" pair missing_packages=()
    for pair in mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs rsync:rsync; do
        PATH="$path" command -v "${pair%%:*}" >/dev/null || missing_packages+=("${pair##*:}")
    done
    [ "${#missing_packages[@]}" -gt 0 ] || return 0
    apt_install "${missing_packages[@]}" && return
    if [ "$(id -u)" -eq 0 ]; then
        lacks "tools to make filesystems and to compare trees" "apt-get install ${missing_packages[*]}"
    else
        say "without ${missing_packages[*]} some tests check less, and say so"
    fi
}

# The client that plain HTTP is tried with.
need_curl() {
    command -v curl >/dev/null || apt_install curl || lacks "curl" "apt-get install curl"
}

# What finds faults with filesystems, for `make test-foreign`.
need_suites() {
    local tool
    for tool in "pjdfstest@$PJDFSTEST_VERSION" "fsx@$FSX_VERSION"; do
        command -v "${tool%@*}" >/dev/null && continue
        say "building $tool; once"
        cargo install --quiet --locked "$tool" || lacks "${tool%@*}" "cargo install --locked ${tool%@*}"
    done
}

need_venv() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3 python3-venv ||
        lacks "Python 3 with venv" "apt-get install python3 python3-venv"
}

need_components() {
    cargo fmt --version >/dev/null 2>&1 || lacks "rustfmt" "rustup component add rustfmt"
    cargo clippy --version >/dev/null 2>&1 || lacks "clippy" "rustup component add clippy"
}

purpose=${1:-all}
need_compiler
need_rust
[ "$missing" -eq 0 ] || exit 1
case $purpose in
run) ;;
test) need_postgres && need_nextest && need_filesystems && need_curl ;;
foreign) need_nextest && need_filesystems && need_suites ;;
lint) need_components ;;
clients) need_venv ;;
all)
    need_postgres
    need_nextest
    need_filesystems
    need_curl
    need_components
    need_venv
    ;;
*)
    say "no such purpose: $purpose (run, test, foreign, lint, clients, all)"
    exit 2
    ;;
esac
exit "$missing"
