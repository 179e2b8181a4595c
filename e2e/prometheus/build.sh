#!/usr/bin/env bash
# Builds Prometheus from its Go module, once, into the cache, and prints the folder of the binary. Without service discovery:
# e2e/dashboards.sh names its targets, and the cloud providers' libraries are most of the build.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${BEDPLATE_CACHE:-$HOME/.cache/bedplate}/prometheus/$(sha256sum "$here/go.sum" | cut -c1-16)/bin
mkdir -p "$bin"
exec 9>"$bin/.lock"
flock 9
if [ ! -x "$bin/prometheus" ]; then
  command -v go >/dev/null || { echo "build.sh: go is missing; install Go 1.26 or newer" >&2; exit 1; }
  echo "build.sh: prometheus" >&2
  (cd "$here" && CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false" go build -tags remove_all_sd -ldflags "-s -w" -o "$bin/.new" github.com/prometheus/prometheus/cmd/prometheus)
  mv "$bin/.new" "$bin/prometheus"
fi
echo "$bin"
