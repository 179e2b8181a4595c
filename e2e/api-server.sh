# Sourced, not run: starts etcd and a kube-apiserver of their own and waits until they answer. No nodes, no controllers.
# Gives `bin` (the binaries' folder), `run` (a folder that goes with the script), `kubeconfig`, `k` (kubectl as an
# administrator), and stops everything when the sourcing script ends. Takes `here`, the folder e2e.
bin=$("$here/tools/build.sh" api | tail -1)
run=$(mktemp -d)
etcd= apiserver=
# An API server that has lost its store never ends by itself, and nothing here is to be kept.
stop() { kill -9 $apiserver $etcd 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$run"; }
trap stop EXIT
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

store=$(port) peer=$(port) api=$(port)
"$bin/etcd" --name api --data-dir "$run/etcd" --listen-client-urls "http://127.0.0.1:$store" --advertise-client-urls "http://127.0.0.1:$store" \
  --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
  --initial-cluster "api=http://127.0.0.1:$peer" --unsafe-no-fsync --log-level error >"$run/etcd.log" 2>&1 &
etcd=$!
openssl genrsa -out "$run/sa.key" 2048 2>/dev/null
token=$(openssl rand -hex 16)
echo "$token,admin,admin,system:masters" >"$run/tokens"
"$bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$store" --bind-address 127.0.0.1 --secure-port "$api" --cert-dir "$run/certs" \
  --token-auth-file "$run/tokens" --authorization-mode RBAC --service-account-issuer https://kubernetes.default.svc \
  --service-account-key-file "$run/sa.key" --service-account-signing-key-file "$run/sa.key" --disable-admission-plugins ServiceAccount \
  >"$run/apiserver.log" 2>&1 &
apiserver=$!
kubeconfig=$run/kubeconfig
cat >"$kubeconfig" <<END
{apiVersion: v1, kind: Config, current-context: api,
 clusters: [{name: api, cluster: {server: "https://127.0.0.1:$api", insecure-skip-tls-verify: true}}],
 users: [{name: admin, user: {token: $token}}],
 contexts: [{name: api, context: {cluster: api, user: admin}}]}
END
k() { "$bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }
deadline=$((SECONDS + 180)) # A loaded machine takes a minute; a quiet one four seconds.
until k get --raw /readyz >/dev/null 2>&1; do
  kill -0 "$apiserver" 2>/dev/null || { tail -20 "$run/apiserver.log" >&2; exit 1; }
  [ $SECONDS -lt $deadline ] || { echo "the API server is not ready after 180 s" >&2; tail -20 "$run/apiserver.log" >&2; exit 1; }
  sleep 0.2
done
k version | tail -1
