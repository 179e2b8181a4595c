#!/usr/bin/env bash
# Proves the chart on a real kube-apiserver, through helm and kubectl: what it installs is accepted without a warning, its pods
# are "restricted", the operator's rights are the listed ones, an upgrade keeps the certificate, uninstalling keeps the CRDs
# and what was made of them, the migrations come first. No nodes, so nothing runs. HELM names another helm than the pinned one;
# `chart.sh --accept` writes the list of the operator's rights anew.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
helm=${HELM:-$("$here/tools/build.sh" helm | tail -1)/helm}
. "$here/api-server.sh"
chart=$here/../charts/bedplate tests=$here/../charts/tests
export KUBECONFIG=$kubeconfig HELM_CACHE_HOME=$run/helm HELM_CONFIG_HOME=$run/helm HELM_DATA_HOME=$run/helm
ns=bedplate-system account=system:serviceaccount:bedplate-system:bedplate-operator
failed=0 passed=0
# is TEXT GOT WANT
is() { if [ "$2" = "$3" ]; then passed=$((passed + 1)); else echo "FAILED: $1: got \"$2\", want \"$3\"" >&2; failed=$((failed + 1)); fi; }
# A wait with a deadline; nothing here takes longer than a loaded machine's moment.
until_true() { local deadline=$((SECONDS + 60)); until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $deadline ] || return 1; sleep 0.2; done; }
may() { k auth can-i "$@" --as "$account" 2>/dev/null || true; }
secret() { k -n $ns get secret "$1" -o jsonpath="{.data.$2}"; }
charted() { k get all,configmaps,secrets,networkpolicies,pdb,roles,rolebindings -n $ns -o name -l app.kubernetes.io/part-of=bedplate; k get clusterroles,clusterrolebindings -o name -l app.kubernetes.io/part-of=bedplate; }

k create namespace $ns >/dev/null
k label namespace $ns pod-security.kubernetes.io/{enforce,warn,audit}=restricted >/dev/null

echo "== install"
"$helm" install bedplate "$chart" -n $ns --set operator.replicas=2 >"$run/notes" 2>"$run/warnings"
is "warnings of the install" "$(grep -i warn "$run/warnings" || true)" ""
sed -n '/NOTES/,$p' "$run/notes"
k wait --for condition=Established --timeout 60s crd/datasets.bedplate.dev crd/trainingjobs.bedplate.dev crd/modeldeployments.bedplate.dev >/dev/null
secret bedplate-operator-tls 'tls\.crt' | base64 -d >"$run/tls.crt"; secret bedplate-operator-tls 'ca\.crt' | base64 -d >"$run/ca.crt"
is "certificate for the Service's name" "$(openssl verify -CAfile "$run/ca.crt" -verify_hostname bedplate-operator.bedplate-system.svc "$run/tls.crt" 2>&1 | tail -1)" "$run/tls.crt: OK"

echo "== every rendering is accepted, every pod is restricted"
for name in default bundled-postgres full; do
  # The Prometheus operator's kinds are not on this server.
  "$helm" template bedplate "$chart" -n $ns --values "$tests/values/$name.yaml" --set crds.enabled=false,serviceMonitor.enabled=false,podMonitor.enabled=false >"$run/$name.yaml"
  for team in team-a team-b; do k create namespace $team --dry-run=client -o yaml | k apply -f - >/dev/null; done
  k apply --dry-run=server --server-side --force-conflicts --validate=strict -f "$run/$name.yaml" >"$run/applied" 2>&1 || cat "$run/applied" >&2
  is "what the server says to $name" "$(grep -ci 'warning\|error\|invalid' "$run/applied" || true)" 0
  k create --dry-run=client -f "$run/$name.yaml" -o json | python3 "$tests/pods.py" >"$run/pods.json"
  k create --dry-run=server --validate=strict -f "$run/pods.json" >"$run/applied" 2>&1 || cat "$run/applied" >&2
  is "pods of $name" "$(grep -c '^pod/.* created' "$run/applied")" "$(grep -o '"kind": "Pod"' "$run/pods.json" | wc -l)"
done
sed 's/"runAsNonRoot": true/"runAsNonRoot": false/g' "$run/pods.json" >"$run/root.json"
is "a pod that is not restricted" "$(k create --dry-run=server -f "$run/root.json" 2>&1 | grep -c 'violates PodSecurity "restricted' | sed 's/[1-9][0-9]*/refused/')" refused

echo "== rights"
for where in default $ns; do
  # Everyone signed in has the rest: reviews of oneself and the paths of discovery.
  k auth can-i --list -n $where --as "$account" --no-headers 2>/dev/null | grep -v 'selfsubject\|clustertrustbundles\|\[/' | sed -E 's/ +/ /g' | sort >"$run/rights"
  [ "${1:-}" != --accept ] || cp "$run/rights" "$tests/rights/$where.txt"
  diff -u "$tests/rights/$where.txt" "$run/rights" >"$run/diff" 2>&1 || cat "$run/diff" >&2
  is "rights in $where" "$(wc -l <"$run/diff")" 0
done
for question in "get secrets" "list secrets" "create pods" "create pods --subresource=exec" "create datasets.bedplate.dev" "create roles" "get leases" "impersonate users" "delete pods" "patch nodes"; do
  # shellcheck disable=SC2086 # The question is several words.
  is "can-i $question" "$(may $question -n default)" no
done
is "can-i create tokenreviews" "$(may create tokenreviews.authentication.k8s.io)" yes

echo "== upgrade"
authority=$(secret bedplate-operator-tls 'ca\.crt') key=$(secret bedplate-operator-tls 'tls\.key')
"$helm" upgrade bedplate "$chart" -n $ns --set 'operator.watchNamespaces={team-a}' >/dev/null
is "authority after the upgrade" "$(secret bedplate-operator-tls 'ca\.crt')" "$authority"
is "key after the upgrade" "$(secret bedplate-operator-tls 'tls\.key')" "$key"
is "pods of a watched namespace" "$(may list pods -n team-a)" yes
is "pods of another namespace" "$(may list pods -n team-b)" no
is "leader's Lease" "$(may patch leases.coordination.k8s.io/bedplate-operator -n $ns)" yes
is "another Lease" "$(may patch leases.coordination.k8s.io/other -n $ns)" no
"$helm" upgrade bedplate "$chart" -n $ns --set operator.replica=2 >"$run/refused" 2>&1 || true
is "an unknown value at the upgrade" "$(grep -c "additional properties 'replica' not allowed" "$run/refused")" 1

echo "== uninstall and install again"
k create namespace lab --dry-run=client -o yaml | k apply -f - >/dev/null
k apply -n lab -f "$here/../examples/quickstart.yaml" >/dev/null
"$helm" uninstall bedplate -n $ns >"$run/uninstalled" 2>&1
is "objects that are left" "$(charted)" ""
is "kinds that are kept" "$(k get crd -o name | grep -c bedplate.dev)" 3
is "resources that are kept" "$(k get datasets,trainingjobs,modeldeployments -n lab -o name | wc -l)" 3
"$helm" install bedplate "$chart" -n $ns >/dev/null
is "resources after installing again" "$(k get datasets,trainingjobs,modeldeployments -n lab -o name | wc -l)" 3
"$helm" upgrade bedplate "$chart" -n $ns --set crds.keep=false >/dev/null && "$helm" uninstall bedplate -n $ns >/dev/null 2>&1
gone() { [ "$(k get crd -o name | grep -c bedplate.dev)" = 0 ]; }
is "kinds that are not kept" "$(until_true gone && echo gone)" gone

echo "== the bundled Postgres keeps its password"
bundled=(bedplate "$chart" -n $ns --no-hooks --set postgres.bundled.enabled=true,postgres.bundled.image=registry.example.org/postgres:18.1)
"$helm" install "${bundled[@]}" >/dev/null
password=$(secret bedplate-postgres password)
is "length of the password" "$(base64 -d <<<"$password" | wc -c)" 32
"$helm" upgrade "${bundled[@]}" >/dev/null && "$helm" uninstall bedplate -n $ns >/dev/null 2>&1
"$helm" install "${bundled[@]}" >/dev/null
is "password after upgrade, uninstall and install" "$(secret bedplate-postgres password)" "$password"
is "DSN" "$(secret bedplate-postgres DATABASE_URL | base64 -d)" "postgres://bedplate:$(base64 -d <<<"$password")@bedplate-postgres.$ns.svc:5432/bedplate"
"$helm" uninstall bedplate -n $ns >/dev/null 2>&1
k -n $ns delete secret bedplate-postgres >/dev/null

echo "== migrations come first"
"$helm" install bedplate "$chart" -n $ns --set postgres.externalSecret.name=history --timeout 120s >"$run/hook" 2>&1 &
install=$!
until_true k -n $ns get job bedplate-migrations || echo "no migrations Job: $(cat "$run/hook")" >&2
is "Deployment before the migrations are done" "$(k -n $ns get deployment -o name)" ""
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
condition() { echo "{\"type\": \"$1\", \"status\": \"True\", \"reason\": \"CompletionsReached\", \"lastTransitionTime\": \"$now\"}"; }
k -n $ns patch job bedplate-migrations --subresource status --type merge -p "{\"status\": {\"startTime\": \"$now\", \"completionTime\": \"$now\", \"succeeded\": 1, \"uncountedTerminatedPods\": {}, \"conditions\": [$(condition SuccessCriteriaMet), $(condition Complete)]}}" >/dev/null
wait $install && ended=ok || ended=$(cat "$run/hook")
is "install after the migrations" "$ended" ok
is "Deployment after the migrations" "$(k -n $ns get deployment -o name)" deployment.apps/bedplate-operator
is "migrations Job afterwards" "$(k -n $ns get jobs -o name)" ""

echo "chart on a real API server: $passed passed, $failed failed"
[ "$failed" = 0 ]
