#!/usr/bin/env bash
# Asks a real Prometheus every query of the chart's dashboards, while it scrapes the real bedplate-inference with a real chat
# model, and the real operator, which runs against a real API server with the settings, the certificate and the rights that
# the chart gives it. Each query must parse, name only metrics that the sources register, and return data. No pod runs here, so
# none reports its progress: `dashboards.sh HOST:PORT` asks the metrics of an operator in a cluster that has trained instead.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/..
elsewhere=${1:-}
prometheus=$("$here/prometheus/build.sh" | tail -1)/prometheus
model=$("$root/scripts/fetch-smollm2.sh" | tail -1)
helm=${HELM:-$("$here/tools/build.sh" helm | tail -1)/helm}
(cd "$root" && cargo build -q -p bedplate-inference -p bedplate-operator)
binaries=${CARGO_TARGET_DIR:-$root/target}/debug
. "$here/api-server.sh"
pids=()
stop_all() { kill "${pids[@]}" 2>/dev/null || true; stop; }
trap stop_all EXIT
# answers URL PID LOG: waits until it does, while the process lives.
answers() {
  local deadline=$((SECONDS + 120))
  until curl -sf "$1" >/dev/null; do
    kill -0 "$2" 2>/dev/null && [ $SECONDS -lt $deadline ] || { tail -20 "$3" >&2; return 1; }
    sleep 0.2
  done
}
# The chart, as it is applied; the operator runs here and not in a pod, so its addresses and its folder are others.
start_operator() {
  k create namespace $ns >/dev/null
  k create namespace lab >/dev/null
  k label namespace lab pod-security.kubernetes.io/enforce=restricted >/dev/null
  "$helm" template bedplate "$root/charts/bedplate" -n $ns --set "progress.url=https://localhost:$progress" >"$run/chart.yaml"
  k apply --server-side -f "$run/chart.yaml" >/dev/null
  k wait --for condition=Established --timeout 60s crd --all >/dev/null
  mkdir "$run/tls"
  for file in tls.crt tls.key ca.crt; do k -n $ns get secret bedplate-operator-tls -o "jsonpath={.data.${file/./\\.}}" | base64 -d >"$run/tls/$file"; done
  k -n $ns get configmap bedplate-operator -o 'jsonpath={.data.operator\.yaml}' |
    sed "s#0.0.0.0:8080#127.0.0.1:$metrics#; s#0.0.0.0:8443#127.0.0.1:$progress#; s#/etc/bedplate/tls#$run/tls#" >"$run/operator.yaml"
  # Its own identity: what the chart does not allow, it cannot do.
  sed "s/token: $token/token: $(k -n $ns create token bedplate-operator)/" "$kubeconfig" >"$run/operator.kubeconfig"
  KUBECONFIG=$run/operator.kubeconfig POD_NAME=operator-0 POD_NAMESPACE=$ns "$binaries/bedplate-operator" run --config "$run/operator.yaml" >"$run/operator.log" 2>&1 &
  operator=$! pids+=($!)
  answers "http://127.0.0.1:$metrics/readyz" $operator "$run/operator.log"
}
# The claims count as bound, as they would with volumes, so that the operator makes its children.
apply_manifests() {
  for claim in bedplate-storage bedplate-inputs; do
    k apply -n lab -f - >/dev/null <<<"{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: $claim}, spec: {accessModes: [ReadWriteMany], storageClassName: '', resources: {requests: {storage: 1Gi}}}}"
    k patch -n lab pvc $claim --subresource status --type merge -p '{"status": {"phase": "Bound"}}' >/dev/null
  done
  k apply -n lab -f "$root/examples/quickstart.yaml" -f "$root/examples/chat.yaml" >/dev/null
}
# The children are there, and PodSecurity would take their pods.
check_children() {
  local deadline=$((SECONDS + 60)) templates=$run/templates
  until k get -n lab job/rust-sources-dataset deployment/smollm2-inference service/smollm2 pdb/smollm2-inference >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || { echo "the operator has not made its children" >&2; k get -n lab bedplate >&2; tail -20 "$run/operator.log" >&2; return 1; }
    sleep 0.2
  done
  for child in job/rust-sources-dataset deployment/smollm2-inference; do k get -n lab $child -o json; done | python3 "$root/charts/tests/pods.py" >"$templates"
  k create --dry-run=server --validate=strict -f "$templates"
}
# Something to reconcile, again and again: a rate needs a change between two scrapes.
keep_busy() {
  while true; do
    for replicas in 1 2 3; do k scale -n lab modeldeployment rust-small --replicas $replicas >/dev/null; sleep 1; done
  done
}
http=$(port) web=$(port) metrics=$(port) progress=$(port)
ns=bedplate-system

[ -n "$elsewhere" ] || start_operator

cat >"$run/job.json" <<END
{"metadata": {"name": "smollm2", "namespace": "lab"}, "modelUri": "file://$model", "servedModelName": "SmolLM2-135M-Instruct",
 "engine": {"maxModelLen": 2048}, "httpAddress": "127.0.0.1:$http", "cacheDir": "$run/cache", "progressFile": "$run/progress.jsonl",
 "kvCacheBytes": 268435456}
END
"$binaries/bedplate-inference" --config "$run/job.json" >"$run/inference.log" 2>&1 &
server=$! pids+=($!)
# The labels are those that the chart's PodMonitor gives; the operator's own come through, as its ServiceMonitor lets them.
cat >"$run/prometheus.yml" <<END
global: {scrape_interval: 1s}
scrape_configs:
  - {job_name: inference, static_configs: [{targets: ["127.0.0.1:$http"], labels: {namespace: lab, pod: smollm2-0}}]}
  - {job_name: operator, honor_labels: true, static_configs: [{targets: ["${elsewhere:-127.0.0.1:$metrics}"], labels: {namespace: $ns}}]}
END
"$prometheus" --config.file "$run/prometheus.yml" --storage.tsdb.path "$run/tsdb" --web.listen-address "127.0.0.1:$web" --log.level warn >"$run/prometheus.log" 2>&1 &
monitor=$! pids+=($!)
answers "http://127.0.0.1:$http/health" $server "$run/inference.log"
answers "http://127.0.0.1:$web/-/ready" $monitor "$run/prometheus.log"
[ -n "$elsewhere" ] || { apply_manifests; check_children; keep_busy & pids+=($!); }
python3 "$here/dashboards.py" --chart "$root/charts/bedplate/dashboards" --sources "$root/inference/src" "$root/operator/src" \
  --prometheus "http://127.0.0.1:$web" --inference "http://127.0.0.1:$http" $([ -n "$elsewhere" ] || echo --no-reports) || { tail -40 "$run/operator.log" >&2; exit 1; }
[ -z "$elsewhere" ] || exit 0
forbidden=$(grep -ci 'forbidden' "$run/operator.log" || true)
[ "$forbidden" = 0 ] || { grep -i forbidden "$run/operator.log" | head -5 >&2; echo "the operator wants more than the chart allows" >&2; exit 1; }
echo "the operator did all this with the rights that the chart gives it"
