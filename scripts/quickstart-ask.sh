#!/usr/bin/env bash
# Asks the two models of the quickstart; `bedplate run --exec` sets the endpoints once both are up.
set -euo pipefail
bedplate=${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-musl/release/bedplate
echo
# Without the space at its end: that belongs to the next word's token, and alone it is one after which only digits come.
echo "rust-small (just trained) continues: pub fn"
"$bedplate" complete --url "$BEDPLATE_ENDPOINT_RUST_SMALL" --max-tokens 64 --temperature 0 "pub fn"
echo
echo "SmolLM2-135M-Instruct is asked: What is the capital of France?"
"$bedplate" chat --url "$BEDPLATE_ENDPOINT_SMOLLM2" --temperature 0 --message "What is the capital of France?"
