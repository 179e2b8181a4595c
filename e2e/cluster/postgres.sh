#!/usr/bin/env bash
# postgres.sh DIR: a Postgres beside the node, on the node's address, with a password; writes how to reach it to DIR/dsn.
# From then on it is the component `postgres`, which component.sh stops and starts and down.sh ends.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/settings.sh"
dir=$(cd "$1" && pwd)
server=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$server" ] || { echo "postgres.sh: install first: apt-get install postgresql" >&2; exit 1; }
password=$(openssl rand -hex 16)
mkdir -p "$dir/postgres"
echo "$password" >"$dir/postgres/password"
chown -R postgres "$dir/postgres"
(cd "$dir/postgres" && runuser -u postgres -- "$server/initdb" -D "$dir/postgres/data" -U bedplate --encoding=UTF8 --locale=C --no-sync \
  --auth-local=trust --auth-host=scram-sha-256 --pwfile="$dir/postgres/password" --no-instructions) >"$dir/log/initdb.log"
cat >>"$dir/postgres/data/postgresql.conf" <<P
listen_addresses = '$node_ip'
unix_socket_directories = '$dir/postgres'
fsync = off
P
echo "host all all $pod_net scram-sha-256
host all all $host_ip/30 scram-sha-256" >>"$dir/postgres/data/pg_hba.conf"
rm "$dir/postgres/password"
ln -s "$server/postgres" "$dir/extra/postgres"
"$here/component.sh" start "$dir" postgres
until_true 60 "Postgres answers" "$server/pg_isready" --host "$node_ip"
echo "postgres://bedplate:$password@$node_ip:5432/postgres" >"$dir/dsn"
