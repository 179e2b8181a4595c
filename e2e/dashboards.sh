#!/usr/bin/env bash
# dashboards.sh OPERATOR INFERENCE: asks a real Prometheus every query of the chart's dashboards, while it scrapes an operator and a
# chat model at these addresses (HOST:PORT). Each query must parse, name only metrics that the sources register, and return
# data; so a pod has to train meanwhile. `e2e/tests/it/dashboards.rs` runs it against the pods of a cluster.
set -euo pipefail
[ $# = 2 ] || { echo "dashboards.sh: whom to scrape? dashboards.sh OPERATOR INFERENCE" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$here/..
prometheus=$("$here/prometheus/build.sh" | tail -1)/prometheus
run=$(mktemp -d)
web=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# The labels are those that the chart's PodMonitor gives; the operator's own come through, as its ServiceMonitor lets them.
cat >"$run/prometheus.yml" <<END
global: {scrape_interval: 1s}
scrape_configs:
  - {job_name: inference, static_configs: [{targets: ["$2"], labels: {namespace: lab, pod: smollm2-0}}]}
  - {job_name: operator, honor_labels: true, static_configs: [{targets: ["$1"], labels: {namespace: bedplate-system}}]}
END
"$prometheus" --config.file "$run/prometheus.yml" --storage.tsdb.path "$run/tsdb" --web.listen-address "127.0.0.1:$web" --log.level warn >"$run/prometheus.log" 2>&1 &
monitor=$!
stop() { kill $monitor 2>/dev/null && wait $monitor 2>/dev/null; rm -rf "$run"; }
trap stop EXIT
deadline=$((SECONDS + 120))
until curl -sf "http://127.0.0.1:$web/-/ready" >/dev/null; do
  kill -0 $monitor 2>/dev/null && [ $SECONDS -lt $deadline ] || { tail -20 "$run/prometheus.log" >&2; exit 1; }
  sleep 0.2
done
python3 "$here/dashboards.py" --chart "$root/charts/bedplate/dashboards" --sources "$root/inference/src" "$root/operator/src" \
  --prometheus "http://127.0.0.1:$web" --inference "http://$2"
