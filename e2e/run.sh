#!/usr/bin/env bash
# Bedplate on a real Kubernetes, from nothing: tools, images, a cluster, the tests against it; nothing is left but caches.
# run.sh [FILTER...] passes filters to the tests. KEEP_LOGS=FOLDER keeps the cluster's logs. BEDPLATE_GANG=0 leaves PodGroups off.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
cache=${BEDPLATE_CACHE:-$HOME/.cache/bedplate}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target} BEDPLATE_GANG=${BEDPLATE_GANG:-1}
export BEDPLATE_E2E_DIR=/tmp/bedplate-e2e BEDPLATE_CLUSTER_OWNER=$$
export BEDPLATE_E2E_BINARIES=$CARGO_TARGET_DIR/x86_64-unknown-linux-musl/release

tools=$(mktemp)
e2e/tools/build.sh all >"$tools" & # A cold build takes nine minutes, so it goes on while cargo compiles.
building=$!
trap 'kill $building 2>/dev/null || true; rm -f "$tools"; e2e/cluster/down.sh "$BEDPLATE_E2E_DIR"' EXIT
trap 'exit 130' INT TERM
cargo xtask image
cargo build --package bedplate-e2e --bin fake-gpu-plugin
cargo test --package bedplate-e2e --features cluster --no-run
wait $building

e2e/cluster/up.sh "$BEDPLATE_E2E_DIR"
e2e/cluster/load-images.sh "$BEDPLATE_E2E_DIR" "$CARGO_TARGET_DIR"/images/bedplate-{operator,dataset,trainer,inference}.tar
e2e/cluster/postgres.sh "$BEDPLATE_E2E_DIR"
ln -s "$CARGO_TARGET_DIR/debug/fake-gpu-plugin" "$BEDPLATE_E2E_DIR/extra/"
e2e/cluster/component.sh start "$BEDPLATE_E2E_DIR" fake-gpu-plugin
cargo test --package bedplate-e2e --features cluster -- "$@"
