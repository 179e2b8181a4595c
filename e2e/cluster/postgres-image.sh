#!/usr/bin/env bash
# postgres-image.sh OUT.tar: this machine's Postgres as an image, localhost/bedplate-postgres:e2e, that takes the settings which the
# official image takes and the chart gives (POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD_FILE, PGDATA). The official one is in a
# registry, which tests do not ask.
set -euo pipefail
server=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$server" ] || { echo "postgres-image.sh: install first: apt-get install postgresql" >&2; exit 1; }
version=$(basename "$(dirname "$server")")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,etc,tmp,var/run/postgresql,usr/lib,usr/share/postgresql,entrypoint}
# The linker's absolute paths hold in the image too.
chmod 1777 "$root/tmp"
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
mkdir -p "$root/usr/lib64"
mkdir -p "$root$server" "$root/usr/lib/postgresql/$version/lib"
cp "$server"/{postgres,initdb,pg_ctl,psql,pg_isready} "$root$server/"
cp "/usr/lib/postgresql/$version"/lib/{dict_snowball,plpgsql,euc2004_sjis2004}.so "$root/usr/lib/postgresql/$version/lib/"
cp -r "/usr/share/postgresql/$version" "$root/usr/share/postgresql/"
cp -rL /usr/share/zoneinfo "$root/usr/share/"
ln -s bash "$root/bin/sh" # initdb runs its commands through it.
for program in bash cat mkdir; do cp "$(readlink -f "$(command -v $program)")" "$root/bin/$program"; done
for program in "$root$server"/* "$root"/bin/* "$root/usr/lib/postgresql/$version"/lib/*.so; do
  ldd "$program" | sed -n 's/^\t\(.* => \)\?\(\/[^ ]*\) (.*/\2/p'
done | sort -u | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
echo "postgres:x:999:999::/:/bin/bash" >"$root/etc/passwd"
cat >"$root/entrypoint/run" <<'RUN'
#!/bin/bash
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" --auth-local trust --auth-host scram-sha-256 --locale C --encoding UTF8
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  pg_ctl --pgdata "$PGDATA" --options "-c listen_addresses=''" --wait start
  [ "$POSTGRES_DB" = postgres ] || psql --username "$POSTGRES_USER" --dbname postgres --command "create database \"$POSTGRES_DB\""
  pg_ctl --pgdata "$PGDATA" --wait stop
fi
exec postgres -D "$PGDATA" -c "listen_addresses=*"
RUN
chmod 755 "$root/entrypoint/run"
settings="{\"Entrypoint\": [\"/entrypoint/run\"], \"Env\": [\"PATH=$server:/bin\"], \"StopSignal\": \"SIGINT\"}"
"$(dirname "$0")/oci-image.sh" localhost/bedplate-postgres:e2e "$root" "$settings" "$1"
