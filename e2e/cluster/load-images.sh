#!/usr/bin/env bash
# load-images.sh DIR TAR...: makes images known to the node, from OCI layouts in tars; no registry is asked.
set -euo pipefail
dir=$1; shift
for tar in "$@"; do
  "$dir/bin/ctr" --address "$(cd "$dir" && pwd)/containerd.sock" --namespace k8s.io images import --local "$tar" >/dev/null ||
    { echo "load-images.sh: $tar cannot be imported" >&2; exit 1; }
done
