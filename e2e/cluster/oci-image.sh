#!/usr/bin/env bash
# oci-image.sh NAME ROOT CONFIG OUT.tar: the image of a folder, an OCI layout in a tar. CONFIG is the image's `config` in JSON.
set -euo pipefail
name=$1 root=$2 settings=$3 out=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
blobs=$work/layout/blobs/sha256
mkdir -p "$blobs"
chmod 755 "$root" # A folder of mktemp is for its maker alone.
tar -C "$root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$work/blob" .

# blob TYPE: moves $work/blob to the layout by its digest and prints its descriptor.
blob() {
  local digest size
  digest=$(sha256sum "$work/blob" | cut -d' ' -f1) size=$(stat -c %s "$work/blob")
  mv "$work/blob" "$blobs/$digest"
  echo "\"mediaType\": \"application/vnd.oci.image.$1\", \"digest\": \"sha256:$digest\", \"size\": $size"
}
layer=$(blob layer.v1.tar)
diff=$(sed 's/.*\(sha256:[0-9a-f]*\).*/\1/' <<<"$layer")
echo "{\"architecture\": \"amd64\", \"os\": \"linux\", \"config\": $settings, \"rootfs\": {\"type\": \"layers\", \"diff_ids\": [\"$diff\"]}}" >"$work/blob"
config=$(blob config.v1+json)
echo "{\"schemaVersion\": 2, \"mediaType\": \"application/vnd.oci.image.manifest.v1+json\", \"config\": {$config}, \"layers\": [{$layer}]}" >"$work/blob"
manifest=$(blob manifest.v1+json)
echo "{\"schemaVersion\": 2, \"manifests\": [{$manifest, \"platform\": {\"architecture\": \"amd64\", \"os\": \"linux\"}, \"annotations\": {\"io.containerd.image.name\": \"$name\", \"org.opencontainers.image.ref.name\": \"${name##*:}\"}}]}" >"$work/layout/index.json"
echo '{"imageLayoutVersion": "1.0.0"}' >"$work/layout/oci-layout"
tar -C "$work/layout" -cf "$out" oci-layout index.json blobs
