#!/usr/bin/env bash
# Proves the CRDs on a real kube-apiserver: they are accepted, the good manifests are stored with their defaults, each bad
# one is refused with the text of its first line, and what may not change does not. No nodes: an API server and its store.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/api-server.sh"
fail() { echo "FAILED: $*" >&2; failed=$((failed + 1)); }
failed=0 passed=0

k apply --server-side -f "$here/../crds/yaml" 2>"$run/warnings" | sed 's/^/  /'
[ ! -s "$run/warnings" ] || fail "the API server warns about the CRDs: $(cat "$run/warnings")"
k wait --for condition=Established --timeout 60s crd/datasets.bedplate.dev crd/trainingjobs.bedplate.dev crd/modeldeployments.bedplate.dev >/dev/null
for crd in datasets trainingjobs modeldeployments; do
  k get crd "$crd.bedplate.dev" -o jsonpath='{range .status.conditions[?(@.type=="NonStructuralSchema")]}{.message}{end}' >"$run/nonstructural"
  [ ! -s "$run/nonstructural" ] || fail "$crd: not structural: $(cat "$run/nonstructural")"
done

for manifest in "$here"/../examples/*.yaml "$here"/api/good/*.yaml; do
  apply="apply --server-side"
  # Where it creates an object the API server drops what is null; a server-side apply of the same is refused.
  [ "${manifest##*/}" != nulls.yaml ] || apply=create
  if out=$(k $apply --validate=strict -f "$manifest" 2>&1); then passed=$((passed + 1)); else fail "$manifest is refused: $out"; fi
done
for manifest in "$here"/api/bad/*.yaml; do
  want=$(sed -n '1s/^# refused: //p' "$manifest")
  if out=$(k create --dry-run=server --validate=false -f "$manifest" 2>&1); then
    fail "$manifest is accepted"
  elif [[ $out != *"$want"* ]]; then
    fail "$manifest is refused without saying \"$want\": $out"
  else
    passed=$((passed + 1))
  fi
done

# change KIND NAME PATCH TEXT: the patch is refused with the text; an empty text means that it is allowed.
change() {
  if out=$(k patch "$1" "$2" --type merge -p "$3" 2>&1); then
    if [ -z "$4" ]; then passed=$((passed + 1)); else fail "$1 $2 accepts $3"; fi
  elif [ -n "$4" ] && [[ $out == *"$4"* ]]; then passed=$((passed + 1)); else fail "$1 $2, $3: $out"; fi
}
change tjob full '{"spec":{"schedule":{"seed":7}}}' 'spec.schedule: Invalid value'
change tjob full '{"spec":{"data":[{"dataset":"other"}]}}' 'cannot change, for it decides the result'
change tjob full '{"spec":{"storage":null}}' 'storage cannot be added or removed'
change tjob full '{"spec":{"queueName":"night"}}' 'set suspend to true first'
change tjob full '{"spec":{"suspend":true}}' ''
change tjob full '{"spec":{"queueName":"night"}}' ''
change tjob full '{"spec":{"parallelism":{"data":4},"workers":{"numNodes":4}}}' ''
change dset full '{"spec":{"storage":{"persistentVolumeClaim":"elsewhere"}}}' 'storage cannot change'
change dset full '{"spec":{"holdout":{"ratio":0.1}}}' ''
change mdep full '{"spec":{"servedModelName":"renamed"}}' ''
k scale mdep full --replicas 3 >/dev/null && [ "$(k get mdep full -o jsonpath='{.spec.replicas}')" = 3 ] && passed=$((passed + 1)) || fail "scale"
k patch tjob full --subresource status --type merge -p '{"status":{"phase":"Running","reason":"Running","summary":{"nodes":"2/2","step":"120/2000","progress":"6%","eta":"41m","restarts":"0/1"},"metrics":{"loss":2.5,"gradNorm":1,"learningRate":0.001,"tokensPerSecond":9000,"tokens":12}}}' >/dev/null && passed=$((passed + 1)) || fail "status"
k patch tjob full --subresource status --type merge -p '{"status":{"phase":"Flying"}}' >/dev/null 2>&1 && fail "an unknown phase is accepted" || passed=$((passed + 1))
# An object that an older CRD let in: the rule on new names holds up neither its labels, nor its status, nor its removal.
names=/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations/1
k patch crd modeldeployments.bedplate.dev --type json -p "[{\"op\":\"remove\",\"path\":\"$names\"}]" >/dev/null
old='{"apiVersion": "bedplate.dev/v1alpha1", "kind": "ModelDeployment", "spec": {"model": {"type": "uri", "uri": "file:model.gguf"}},
      "metadata": {"name": "7b-old", "finalizers": ["bedplate.dev/cleanup"]}}'
for _ in $(seq 100); do k create -f - <<<"$old" >/dev/null 2>&1 && break; sleep 0.1; done
k apply --server-side --force-conflicts -f "$here/../crds/yaml" >/dev/null 2>&1
for _ in $(seq 100); do k create --dry-run=server -f "$here/api/bad/deployment-digit-name.yaml" >/dev/null 2>&1 || break; sleep 0.1; done
change mdep 7b-old '{"metadata":{"labels":{"a":"b"}}}' ''
change mdep 7b-old '{"spec":{"replicas":2}}' ''
k patch mdep 7b-old --subresource status --type merge -p '{"status":{"phase":"Ready"}}' >/dev/null && passed=$((passed + 1)) || fail "the status of an older object"
k delete mdep 7b-old --wait=false >/dev/null
change mdep 7b-old '{"metadata":{"finalizers":null}}' ''
k get bedplate
k get tjob -o wide
k explain trainingjob.spec.model | sed -n '1,40p'
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
