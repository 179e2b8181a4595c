#!/usr/bin/env bash
# Checks for what the build and its tests need, installs what a package manager of the machine can bring, says the rest in one line.
set -euo pipefail
command -v cargo >/dev/null || { echo "setup: cargo is missing; install a Rust toolchain with rustup first" >&2; exit 1; }
# The pinned toolchain with its components and the musl target; does nothing where it is there.
! command -v rustup >/dev/null || rustup toolchain install >/dev/null 2>&1 || { echo "setup: rustup cannot install the toolchain of rust-toolchain.toml; run 'rustup toolchain install' to see why" >&2; exit 1; }
need=()
command -v cc >/dev/null || need+=(build-essential)
# The C parts of what is linked statically.
command -v musl-gcc >/dev/null || need+=(musl-tools)
command -v python3 >/dev/null || need+=(python3)
python3 -c 'import venv, ensurepip' 2>/dev/null || need+=(python3-venv python3-pip)
# The history's tests start a server of their own from these programs; no cluster of the distribution's is needed.
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need+=(postgresql)
if [ ${#need[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing ${need[*]}"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${need[@]}" >/dev/null
  else
    echo "setup: install first: apt-get install ${need[*]}" >&2
    exit 1
  fi
fi
