#!/usr/bin/env bash
# probe-image.sh PROBE OUT.tar: the image of e2e/tools/probe: what test pods and every pod's sandbox run.
set -euo pipefail
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin"
cp "$1" "$root/bin/probe"
"$(dirname "$0")/oci-image.sh" localhost/bedplate-probe:e2e "$root" '{"Entrypoint": ["/bin/probe"], "User": "65532:65532"}' "$2"
