#!/usr/bin/env bash
# needs.sh: what a node and the tests on it need from the machine's package manager; as root it is installed, otherwise it is named.
set -euo pipefail
need=()
for tool in runc:runc nft:nftables ip:iproute2 nsenter:util-linux openssl:openssl curl:curl musl-gcc:musl-tools psql:postgresql-client; do
  command -v "${tool%%:*}" >/dev/null || need+=("${tool##*:}")
done
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need+=(postgresql)
[ "$(id -u)" = 0 ] || { echo "needs.sh: a node needs root" >&2; exit 1; }
[ ${#need[@]} -gt 0 ] || exit 0
command -v apt-get >/dev/null || { echo "needs.sh: install first what Debian has in: ${need[*]}" >&2; exit 1; }
echo "needs.sh: installing ${need[*]}" >&2
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${need[@]}" >/dev/null
