#!/usr/bin/env bash
# Makes (once) and prints a Python environment for a peer or a reference: scripts/venv.sh NAME PACKAGE...
# Peers live in the user's cache, never in the product; the folder's name carries a digest of what was asked for.
set -euo pipefail
name=$1; shift
cache=${BEDPLATE_CACHE:-$HOME/.cache/bedplate}
dir=$cache/venv/$name-$(printf '%s\n' "$@" | sha256sum | cut -c1-12)
mkdir -p "$cache/venv"
exec 9>"$dir.lock"
flock 9
if [ ! -e "$dir/.complete" ]; then
  command -v python3 >/dev/null || { echo "scripts/venv.sh: python3 is missing; install it with: apt-get install python3 python3-venv" >&2; exit 1; }
  rm -rf "$dir"
  python3 -m venv "$dir" >&2 || { echo "scripts/venv.sh: python3 -m venv failed; install it with: apt-get install python3-venv" >&2; exit 1; }
  "$dir/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
  touch "$dir/.complete"
fi
echo "$dir"
