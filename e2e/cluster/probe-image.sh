#!/usr/bin/env bash
# probe-image.sh PROBE OUT.tar: the image of e2e/tools/probe as an OCI layout in a tar: what test pods and every pod's sandbox run.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
blobs=$work/layout/blobs/sha256
mkdir -p "$blobs" "$work/root/bin"
cp "$1" "$work/root/bin/probe"
tar -C "$work/root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$work/blob" bin

# blob TYPE: moves $work/blob to the layout by its digest and prints its descriptor.
blob() {
  local digest size
  digest=$(sha256sum "$work/blob" | cut -d' ' -f1) size=$(stat -c %s "$work/blob")
  mv "$work/blob" "$blobs/$digest"
  echo "\"mediaType\": \"application/vnd.oci.image.$1\", \"digest\": \"sha256:$digest\", \"size\": $size"
}
layer=$(blob layer.v1.tar)
diff=$(sed 's/.*\(sha256:[0-9a-f]*\).*/\1/' <<<"$layer")
echo "{\"architecture\": \"amd64\", \"os\": \"linux\", \"config\": {\"Entrypoint\": [\"/bin/probe\"], \"User\": \"65532:65532\"}, \"rootfs\": {\"type\": \"layers\", \"diff_ids\": [\"$diff\"]}}" >"$work/blob"
config=$(blob config.v1+json)
echo "{\"schemaVersion\": 2, \"mediaType\": \"application/vnd.oci.image.manifest.v1+json\", \"config\": {$config}, \"layers\": [{$layer}]}" >"$work/blob"
manifest=$(blob manifest.v1+json)
name=localhost/bedplate-probe:e2e
echo "{\"schemaVersion\": 2, \"manifests\": [{$manifest, \"platform\": {\"architecture\": \"amd64\", \"os\": \"linux\"}, \"annotations\": {\"io.containerd.image.name\": \"$name\", \"org.opencontainers.image.ref.name\": \"e2e\"}}]}" >"$work/layout/index.json"
echo '{"imageLayoutVersion": "1.0.0"}' >"$work/layout/oci-layout"
tar -C "$work/layout" -cf "$2" oci-layout index.json blobs
