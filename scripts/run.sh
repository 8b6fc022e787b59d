#!/usr/bin/env bash
# Starts the storage-proxy and the manager on loopback. Secrets, configuration, database, volume and logs are in .data
# and stay there. PORT, STORAGE_PORT and DIRECT_PORT choose other ports than 7070, 7071 and 7072. Ctrl-C stops both.
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
data=$repo/.data
manager_config=$data/manager.toml
storage_config=$data/storage-proxy.toml
readonly PATIENCE_SECONDS=60

say() { printf '%s\n' "$*"; }
die() {
    printf 'run: %s\n' "$*" >&2
    exit 1
}

build() {
    say "Building both services (release)…"
    cd "$repo"
    cargo build --release --quiet -p vfolder-manager -p vfolder-storage-proxy
    target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    manager=$target/release/manager
    storage_proxy=$target/release/storage-proxy
}

make_secret() {
    [ -e "$1" ] || (umask 077 && head -c 48 /dev/urandom | base64 -w 0 >"$1")
}

write_configs() {
    [ -e "$storage_config" ] || cat >"$storage_config" <<EOF
listen = "127.0.0.1:${STORAGE_PORT:-7071}"
secret_file = "$data/storage.secret"
direct.listen = "127.0.0.1:${DIRECT_PORT:-7072}"

[[volumes]]
name = "local"
path = "$data/volume"
EOF
    [ -e "$manager_config" ] || cat >"$manager_config" <<EOF
listen = "127.0.0.1:${PORT:-7070}"
default_volume = "local"

[database]
url = "sqlite:$data/manager.db"

[auth]
hs256_secret_file = "$data/callers.secret"

[storage]
secret_file = "$data/storage.secret"

[[storage.proxies]]
address = "http://127.0.0.1:${STORAGE_PORT:-7071}"
volumes = ["local"]
EOF
    # Ports that were asked for by name win over the ones written earlier.
    if [ -n "${PORT:-}" ]; then
        sed -i "s/^listen = .*/listen = \"127.0.0.1:$PORT\"/" "$manager_config"
    fi
    if [ -n "${STORAGE_PORT:-}" ]; then
        sed -i "s/^listen = .*/listen = \"127.0.0.1:$STORAGE_PORT\"/" "$storage_config"
        sed -i "s/^address = .*/address = \"http:\/\/127.0.0.1:$STORAGE_PORT\"/" "$manager_config"
    fi
    if [ -n "${DIRECT_PORT:-}" ]; then
        sed -i "s/^direct.listen = .*/direct.listen = \"127.0.0.1:$DIRECT_PORT\"/" "$storage_config"
    fi
}

direct_of() { sed -n 's/^direct.listen = "\(.*\)"/\1/p' "$1"; }

listen_of() { sed -n 's/^listen = "\(.*\)"/\1/p' "$1"; }

require_free() {
    local host=${1%:*} port=${1##*:}
    if (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then
        die "port $port is taken, perhaps by another \`make run\`; choose another: $2=<port> make run"
    fi
}

# $1 name, $2 pid, then the command that succeeds once it is healthy.
wait_healthy() {
    local name=$1 pid=$2 said='' deadline=$((SECONDS + PATIENCE_SECONDS))
    shift 2
    until said=$("$@" 2>&1); do
        kill -0 "$pid" 2>/dev/null || die_with_log "$name" "$name did not start"
        [ "$SECONDS" -lt "$deadline" ] ||
            die_with_log "$name" "$name is not healthy after $PATIENCE_SECONDS s: $said"
        sleep 0.1
    done
}

die_with_log() {
    say "--- the end of $data/$1.log:" >&2
    tail -n 20 "$data/$1.log" >&2
    die "$2"
}

storage_pid='' manager_pid=''

# The manager goes first, so that it does not miss its storage-proxy. Called by traps.
# shellcheck disable=SC2329
stop_both() {
    local pid status result=0
    for pid in $manager_pid $storage_pid; do
        kill -TERM "$pid" 2>/dev/null || true
        status=0
        wait "$pid" || status=$?
        [ "$status" -eq 0 ] || result=1
    done
    manager_pid='' storage_pid=''
    return "$result"
}

# shellcheck disable=SC2329
asked_to_stop() {
    trap '' INT TERM
    say ''
    say 'Stopping…'
    if stop_both; then
        say "Stopped. The state is in $data; \`make run\` goes on with it."
        exit 0
    fi
    die "a service did not stop cleanly; see $data/manager.log and $data/storage-proxy.log"
}

start_both() {
    trap asked_to_stop INT TERM
    trap 'stop_both || true' EXIT
    "$storage_proxy" serve --config "$storage_config" </dev/null >>"$data/storage-proxy.log" 2>&1 &
    storage_pid=$!
    wait_healthy storage-proxy "$storage_pid" "$storage_proxy" health --config "$storage_config"
    "$manager" serve --config "$manager_config" </dev/null >>"$data/manager.log" 2>&1 &
    manager_pid=$!
    wait_healthy manager "$manager_pid" "$manager" health --address "http://$(listen_of "$manager_config")"
}

# Until one of them ends, which neither should.
watch_both() {
    wait -n "$storage_pid" "$manager_pid" || true
    if kill -0 "$storage_pid" 2>/dev/null; then
        die_with_log manager "the manager ended by itself; the storage-proxy is stopped as well"
    fi
    die_with_log storage-proxy "the storage-proxy ended by itself; the manager is stopped as well"
}

build
mkdir -p "$data/volume"
make_secret "$data/callers.secret"
make_secret "$data/storage.secret"
write_configs
[ -e "$data/volume/volume.json" ] || "$storage_proxy" volume init --name local "$data/volume"
require_free "$(listen_of "$storage_config")" STORAGE_PORT
require_free "$(listen_of "$manager_config")" PORT
# Files that an older version wrote have none.
[ -z "$(direct_of "$storage_config")" ] || require_free "$(direct_of "$storage_config")" DIRECT_PORT
start_both
token=$("$manager" token --config "$manager_config" --sub alice --ttl 24h)
"$repo/scripts/cheat-sheet.sh" "$(listen_of "$manager_config")" "$token"
say "Logs: $data/manager.log, $data/storage-proxy.log.    Ctrl-C stops both."
watch_both
