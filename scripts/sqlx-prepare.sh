#!/usr/bin/env bash
# Checks every query of the store against a real Postgres with the current migrations, and writes what it says to operator/.sqlx, from
# which every build checks them without one. `--check` writes nothing and fails where the committed files differ.
# (It does what `cargo sqlx prepare` does, without installing sqlx-cli.)
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || { echo "sqlx-prepare: there is no Postgres server; install it with: apt-get install postgresql" >&2; exit 1; }
dir=$(mktemp -d /tmp/bedplate-sqlx.XXXXXX)
as=()
if [ "$(id -u)" = 0 ]; then as=(runuser -u postgres --); chown postgres "$dir"; fi
in_dir() { (cd "$dir" && "${as[@]}" "$@"); }
trap 'in_dir "$bin/pg_ctl" stop -D "$dir/data" -m immediate >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT
in_dir "$bin/initdb" -D "$dir/data" -U bedplate --auth=trust --encoding=UTF8 --locale=C --no-sync >/dev/null
in_dir "$bin/pg_ctl" start -D "$dir/data" -l "$dir/log" -w -o "-k $dir -c listen_addresses=" >/dev/null
{ echo 'CREATE SCHEMA bedplate;'; cat migrations/*.sql; } |
  "$bin/psql" --quiet --no-psqlrc --set ON_ERROR_STOP=1 --single-transaction --host "$dir" --username bedplate --dbname postgres
mkdir "$dir/queries"
touch operator/src/lib.rs
SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$dir/queries DATABASE_URL="postgres://bedplate@localhost/postgres?host=$dir" \
  cargo check --quiet --package bedplate-operator
touch operator/src/lib.rs
if [ "${1:-}" = --check ]; then
  diff -r operator/.sqlx "$dir/queries" >&2 || { echo "sqlx-prepare: operator/.sqlx is out of date; run scripts/sqlx-prepare.sh" >&2; exit 1; }
else
  mkdir -p operator/.sqlx
  rm -f operator/.sqlx/*.json
  cp "$dir"/queries/*.json operator/.sqlx/
fi
