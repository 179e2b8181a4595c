#!/usr/bin/env bash
# Bedplate on a real Kubernetes, from nothing: tools, images, a cluster, the tests against it; nothing is left but caches.
# run.sh [FILTER...] passes filters to the tests. KEEP_LOGS=FOLDER keeps the cluster's logs. BEDPLATE_GANG=0 leaves PodGroups off.
# BEDPLATE_E2E_IMAGES=FOLDER takes images made before, whose binaries are in BEDPLATE_E2E_BINARIES, instead of making them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
cache=${BEDPLATE_CACHE:-$HOME/.cache/bedplate}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target} BEDPLATE_GANG=${BEDPLATE_GANG:-1}
export BEDPLATE_E2E_DIR=/tmp/bedplate-e2e BEDPLATE_CLUSTER_OWNER=$$
target=x86_64-unknown-linux-musl
export BEDPLATE_E2E_BINARIES=${BEDPLATE_E2E_BINARIES:-$CARGO_TARGET_DIR/$target/release}
# The same build as every test and image (BUILD of xtask/src/workspace.rs): nothing is compiled twice.
build=(--release --target $target --workspace --features bedplate-e2e/cluster)
images=${BEDPLATE_E2E_IMAGES:-$CARGO_TARGET_DIR/images}

e2e/cluster/needs.sh
{ e2e/tools/build.sh all && e2e/prometheus/build.sh; } >/dev/null & # Cold it takes nine minutes, so it goes on while cargo compiles.
building=$!
is_up=
finish() {
  kill $building 2>/dev/null || true
  [ -z "$is_up" ] || e2e/cluster/down.sh "$BEDPLATE_E2E_DIR"
}
trap finish EXIT
trap 'exit 130' INT TERM
[ -n "${BEDPLATE_E2E_IMAGES:-}" ] || cargo xtask image
cargo build "${build[@]}" --bin fake-gpu-plugin
cargo test "${build[@]}" --test cluster --no-run
wait $building

e2e/cluster/up.sh "$BEDPLATE_E2E_DIR" # Where it fails it takes itself down.
is_up=1
e2e/cluster/load-images.sh "$BEDPLATE_E2E_DIR" "$images"/bedplate-{operator,dataset,trainer,inference}.tar
e2e/cluster/postgres.sh "$BEDPLATE_E2E_DIR"
ln -s "$CARGO_TARGET_DIR/$target/release/fake-gpu-plugin" "$BEDPLATE_E2E_DIR/extra/"
e2e/cluster/component.sh start "$BEDPLATE_E2E_DIR" fake-gpu-plugin
# They wait for pods far more than they compute.
cargo test "${build[@]}" --test cluster -- --test-threads 6 "$@"
