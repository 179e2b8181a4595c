#!/usr/bin/env bash
# Prints the path of the pinned cargo-deny, which is built into the cache the first time.
set -euo pipefail
version=0.20.2
root=${BEDPLATE_CACHE:-$HOME/.cache/bedplate}/tools/cargo-deny-$version
if [ ! -x "$root/bin/cargo-deny" ]; then
  # A target folder of its own that is thrown away: nothing else shares its dependencies. Not optimised: it runs for seconds.
  target=$(mktemp -d)
  trap 'rm -rf "$target"' EXIT
  CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-deny --version "$version" --locked --quiet --debug --root "$root" --target-dir "$target" >&2
fi
echo "$root/bin/cargo-deny"
