#!/usr/bin/env bash
# volume.sh DIR NAMESPACE CLAIM [USER]: a claim that is bound to a folder of this machine, DIR/volumes/NAMESPACE/CLAIM, which that user
# owns; by default the one of Bedplate's images.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
dir=$(cd "$1" && pwd) namespace=$2 claim=$3 user=${4:-$user}
folder=$dir/volumes/$namespace/$claim
mkdir -p "$folder"
chown $user:$user "$folder"
"$dir/bin/kubectl" --kubeconfig "$dir/kubeconfig" apply --server-side --filename - >/dev/null <<V
apiVersion: v1
kind: PersistentVolume
metadata: {name: $namespace-$claim}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteMany, ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
  claimRef: {namespace: $namespace, name: $claim}
  hostPath: {path: $folder, type: Directory}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $claim, namespace: $namespace}
spec:
  storageClassName: ""
  volumeName: $namespace-$claim
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 10Gi}}
V
