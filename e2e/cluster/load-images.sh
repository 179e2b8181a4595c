#!/usr/bin/env bash
# load-images.sh DIR TAR...: makes images known to the node, from OCI layouts in tars; no registry is asked.
set -euo pipefail
dir=$(cd "$1" && pwd); shift
for tar in "$@"; do
  said=$("$dir/bin/ctr" --address "$dir/containerd.sock" --namespace k8s.io images import --local "$tar" 2>&1) ||
    { echo "load-images.sh: $tar cannot be imported: $said" >&2; exit 1; }
done
