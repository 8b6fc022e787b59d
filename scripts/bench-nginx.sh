#!/usr/bin/env bash
# Serves a folder by nginx on a free port of loopback, to compare with. Runs until it is killed or told to stop.
#
#   bench-nginx.sh DIRECTORY PORT-FILE     the port is written to PORT-FILE once it is served
#
# nginx is the distribution's. Where it is not installed, its package is fetched and unpacked beside our build, so that
# no service is started and nothing is left on the system.
set -euo pipefail

readonly directory=$1 port_file=$2
readonly kept=${BENCH_NGINX:-$(dirname "${BASH_SOURCE[0]}")/../target/bench-nginx}

say() { printf 'bench-nginx: %s\n' "$*" >&2; }

find_nginx() {
    PATH="$PATH:/usr/sbin" command -v nginx && return
    if ! [ -x "$kept/usr/sbin/nginx" ]; then
        say "fetching the package nginx with apt-get"
        mkdir -p "$kept"
        (
            cd "$kept"
            apt-get download -qq nginx 2>/dev/null || { apt-get update -qq && apt-get download -qq nginx; }
            dpkg -x nginx_*.deb .
        ) >&2
    fi
    # What it links to, it says itself if it is missing.
    "$kept/usr/sbin/nginx" -v >/dev/null 2>&1 || {
        say "nginx does not start: apt-get install nginx"
        exit 1
    }
    echo "$kept/usr/sbin/nginx"
}

nginx=$(find_nginx)
work=$(mktemp -d)
child=
# By the traps below, which shellcheck doesn't follow in a script that ends with `exit`.
# shellcheck disable=SC2329
stop() {
    [ -z "$child" ] || kill "$child" 2>/dev/null || true
    [ -z "$child" ] || wait "$child" 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 0' TERM INT

# As its own documentation has it for static files (https://docs.nginx.com/nginx/admin-guide/web-server/serving-static-content/).
configure() {
    cat >"$work/nginx.conf" <<CONF
daemon off;
worker_processes auto;
pid $work/pid;
error_log $work/error.log;
$([ "$(id -u)" -ne 0 ] || echo "user root;")
events { worker_connections 1024; }
http {
    access_log off;
    sendfile on;
    sendfile_max_chunk 1m;
    tcp_nopush on;
    keepalive_timeout 65;
    default_type application/octet-stream;
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    server {
        listen 127.0.0.1:$1;
        root $directory;
    }
}
CONF
}

serves() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# nginx can't tell which port it got: ports are tried until one was free.
for _ in $(seq 50); do
    port=$((20000 + RANDOM % 12000))
    serves "$port" && continue
    configure "$port"
    "$nginx" -c "$work/nginx.conf" -e "$work/error.log" &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        if serves "$port"; then
            printf '%s' "$port" >"$port_file.part"
            mv "$port_file.part" "$port_file"
            say "serving $directory on port $port"
            wait "$child" || true
            exit 0
        fi
        sleep 0.02
    done
    child=
done
say "no free port, or nginx does not start: $(cat "$work/error.log")"
exit 1
