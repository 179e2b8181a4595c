#!/usr/bin/env bash
# Proves the chart without a cluster: lint, snapshots of what it renders, CRDs with their switches, and values that it refuses.
# `test.sh --accept` writes the snapshots anew. HELM names another helm than the pinned one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
helm=${HELM:-$("$here/../e2e/tools/build.sh" helm | tail -1)/helm}
chart=$here/bedplate tests=$here/tests
run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
failed=0 passed=0
fail() { echo "FAILED: $*" >&2; failed=$((failed + 1)); }
pass() { passed=$((passed + 1)); }

render() { "$helm" template bedplate "$chart" --namespace bedplate-system "$@"; }
# What is drawn by chance in each rendering says nothing.
mask() { sed -E 's/^(  (tls\.crt|tls\.key|ca\.crt|password|DATABASE_URL): ).+/\1<generated>/'; }
# The dashboards' and the CRDs' own files are long, and compared elsewhere.
shorten() { sed -E '/^  bedplate-[a-z]+\.json: \|-$/,/^---$/{/^    /d}'; }

for values in "$tests"/values/*.yaml; do
  name=$(basename "$values" .yaml) snapshot=$tests/snapshots/$(basename "$values")
  if out=$("$helm" lint --strict "$chart" --values "$values" 2>&1); then pass; else fail "lint $name: $out"; fi
  render --values "$values" --set crds.enabled=false | mask | shorten >"$run/$name"
  [ "${1:-}" != --accept ] || cp "$run/$name" "$snapshot"
  if diff -u "$snapshot" "$run/$name" >"$run/diff" 2>&1; then pass; else
    fail "$name renders otherwise than $snapshot; if that is meant, run charts/test.sh --accept"; head -60 "$run/diff" >&2
  fi
done

kept() { render "$@" | grep -c 'helm.sh/resource-policy: keep' || true; }
kinds() { render "$@" | grep -c '^kind: CustomResourceDefinition' || true; }
[ "$(kinds) $(kept)" = "3 3" ] && pass || fail "the CRDs are not all kept by default"
[ "$(kinds --set crds.keep=false) $(kept --set crds.keep=false)" = "3 0" ] && pass || fail "crds.keep=false keeps CRDs"
[ "$(kinds --set crds.enabled=false)" = 0 ] && pass || fail "crds.enabled=false installs CRDs"

for values in "$tests"/refused/*.yaml; do
  want=$(sed -n '1s/^# refused: //p' "$values")
  if out=$(render --values "$values" 2>&1); then
    fail "$values is accepted"
  elif [[ $out != *"$want"* ]]; then
    fail "$values is refused without saying \"$want\": $out"
  else pass; fi
done

echo "chart: $passed passed, $failed failed"
[ "$failed" = 0 ]
