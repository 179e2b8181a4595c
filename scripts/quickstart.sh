#!/usr/bin/env bash
# The main job on real input: trains a small model on the sources of this project's dependencies and serves it beside a
# real open chat model. ONCE=1 ends after the questions; otherwise the endpoints stay up until Ctrl-C.
# A second run goes on where the first one stopped, and skips what is done.
set -euo pipefail
cd "$(dirname "$0")/.."
state=${BEDPLATE_STATE:-.bedplate}
target=x86_64-unknown-linux-musl
release=$CARGO_TARGET_DIR/$target/release
inputs=$state/inputs

packages=(bedplate bedplate-dataset bedplate-trainer bedplate-inference xtask)
cargo build --release --target $target "${packages[@]/#/--package=}"

mkdir -p "$inputs/models"
"$release/xtask" corpus "$inputs/corpus"
ln -sf "$(scripts/fetch-smollm2.sh)" "$inputs/models/"

once=${ONCE:+--once}
exec "$release/bedplate" run examples/quickstart.yaml examples/chat.yaml \
  --state-dir "$state" --inputs "$inputs" --exec scripts/quickstart-ask.sh $once
