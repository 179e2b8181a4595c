#!/usr/bin/env bash
# Asks a real Prometheus every query of the chart's dashboards, while it scrapes the real bedplate-inference with a real chat
# model, and the operator where one is named: `dashboards.sh [HOST:PORT of the operator's metrics]`.
# Each query must parse and name only metrics that the sources register; with its binary running it must return data.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
operator=${1:-}
prometheus=$("$here/prometheus/build.sh" | tail -1)/prometheus
model=$("$here/../scripts/fetch-smollm2.sh" | tail -1)
inference=${CARGO_TARGET_DIR:-$here/../target}/debug/bedplate-inference
[ -x "$inference" ] || (cd "$here/.." && cargo build -p bedplate-inference)
run=$(mktemp -d)
server= monitor=
stop() { kill $server $monitor 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$run"; }
trap stop EXIT
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# answers URL PID LOG: waits until it does, while the process lives.
answers() {
  local deadline=$((SECONDS + 120))
  until curl -sf "$1" >/dev/null; do
    kill -0 "$2" 2>/dev/null && [ $SECONDS -lt $deadline ] || { tail -20 "$3" >&2; return 1; }
    sleep 0.2
  done
}

http=$(port) web=$(port)
cat >"$run/job.json" <<END
{"metadata": {"name": "smollm2", "namespace": "lab"}, "modelUri": "file://$model", "servedModelName": "SmolLM2-135M-Instruct",
 "engine": {"maxModelLen": 2048}, "httpAddress": "127.0.0.1:$http", "cacheDir": "$run/cache", "progressFile": "$run/progress.jsonl",
 "kvCacheBytes": 268435456}
END
"$inference" --config "$run/job.json" >"$run/inference.log" 2>&1 &
server=$!
# The labels are those that the chart's PodMonitor gives; the operator's own come through, as its ServiceMonitor lets them.
cat >"$run/prometheus.yml" <<END
global: {scrape_interval: 1s}
scrape_configs:
  - {job_name: inference, static_configs: [{targets: ["127.0.0.1:$http"], labels: {namespace: lab, pod: smollm2-0}}]}
  ${operator:+- {job_name: operator, honor_labels: true, static_configs: [{targets: ["$operator"], labels: {namespace: bedplate-system\}\}]\}}
END
"$prometheus" --config.file "$run/prometheus.yml" --storage.tsdb.path "$run/tsdb" --web.listen-address "127.0.0.1:$web" --log.level warn >"$run/prometheus.log" 2>&1 &
monitor=$!
answers "http://127.0.0.1:$http/health" $server "$run/inference.log"
answers "http://127.0.0.1:$web/-/ready" $monitor "$run/prometheus.log"
python3 "$here/dashboards.py" --chart "$here/../charts/bedplate/dashboards" --sources "$here/../inference/src" "$here/../operator/src" \
  --prometheus "http://127.0.0.1:$web" --inference "http://127.0.0.1:$http" ${operator:+--operator}
