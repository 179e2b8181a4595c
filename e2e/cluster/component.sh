#!/usr/bin/env bash
# component.sh start|stop|kill DIR NAME: one process of the cluster, in the cluster's network namespace; its log is DIR/log/NAME.log.
# stop asks and then insists, kill insists at once. Starting what runs and stopping what does not is nothing.
# BEDPLATE_GANG=1 switches on the Workload and PodGroup API with its scheduling, which this Kubernetes has off by default.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
action=$1 dir=$2 name=$3
pki=$dir/pki pid=$dir/pid/$name
gates=
[ "${BEDPLATE_GANG:-0}" = 0 ] || gates=GenericWorkload=true

# The rates are far above the defaults, which let the first pod wait four seconds and a burst of pods for minutes.
command_of() {
  local client=(--kubeconfig="$pki/$name.kubeconfig" --authentication-kubeconfig="$pki/$name.kubeconfig"
    --authorization-kubeconfig="$pki/$name.kubeconfig" --bind-address=127.0.0.1 --leader-elect=false)
  case $name in
    etcd) command=(etcd --name etcd --data-dir "$dir/etcd" --unsafe-no-fsync --log-level warn
      --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379
      --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380
      --initial-cluster etcd=http://127.0.0.1:2380) ;;
    containerd) command=(containerd --config "$dir/conf/containerd.toml") ;;
    kube-apiserver) command=(kube-apiserver --etcd-servers=http://127.0.0.1:2379
      --bind-address="$node_ip" --advertise-address="$node_ip" --secure-port=6443 --service-cluster-ip-range="$service_net"
      --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true --enable-aggregator-routing=true
      --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key"
      --service-account-issuer=https://kubernetes.default.svc.cluster.local
      --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key"
      --kubelet-client-certificate="$pki/apiserver-kubelet.crt" --kubelet-client-key="$pki/apiserver-kubelet.key"
      --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP
      --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy
      --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group
      --requestheader-username-headers=X-Remote-User
      --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key"
      ${gates:+--feature-gates=$gates --runtime-config=scheduling.k8s.io/v1beta1=true}) ;;
    kube-controller-manager) command=(kube-controller-manager "${client[@]}" --kube-api-qps=500 --kube-api-burst=1000
      --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" --use-service-account-credentials=true
      --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" ${gates:+--feature-gates=$gates}) ;;
    kube-scheduler) command=(kube-scheduler "${client[@]}" --kube-api-qps=5000 --kube-api-burst=5000
      ${gates:+--feature-gates=$gates}) ;;
    kubelet) command=(kubelet --config="$dir/conf/kubelet.yaml" --kubeconfig="$pki/kubelet.kubeconfig"
      --root-dir="$dir/kubelet" --hostname-override="$node" --node-ip="$node_ip") ;;
    kube-proxy) command=(kube-proxy --config="$dir/conf/kube-proxy.yaml") ;;
    coredns) command=(coredns -conf "$dir/conf/Corefile") ;;
    postgres) command=(setpriv --reuid=postgres --regid=postgres --init-groups "$dir/extra/postgres" -D "$dir/postgres/data") ;;
    fake-gpu-plugin) command=("$dir/extra/fake-gpu-plugin" --control "$dir/unhealthy-gpus") ;;
    *) echo "component.sh: $name is not a component of the cluster" >&2; exit 2 ;;
  esac
}

start() {
  if [ -f "$pid" ] && started "$pid"; then return; fi
  local command
  command_of
  # By PATH nsenter finds the program, containerd its shim, and the shim runc.
  PATH=$dir/bin:$PATH setsid nsenter --net="/run/netns/$netns" "${command[@]}" \
    >>"$dir/log/$name.log" 2>&1 </dev/null 8>&- 9>&- &
  write_pid $! "$pid"
}

# end SIGNAL: sends it, and the one that cannot be refused after 10 s.
end() {
  if [ -f "$pid" ] && started "$pid"; then
    local number
    read -r number _ <"$pid"
    kill "-$1" "$number" 2>/dev/null || true
    ended() { ! started "$pid"; }
    until_true 10 "$name has not ended" ended || { kill -KILL "$number" 2>/dev/null || true; until_true 10 "$name cannot be ended" ended; }
  fi
  rm -f "$pid"
}

case $action in
  start) start ;;
  stop) if [ "$name" = postgres ]; then end INT; else end TERM; fi ;; # Postgres waits for its clients at the one, not at the other.
  kill) end KILL ;;
  *) echo "component.sh: start, stop or kill, not $action" >&2; exit 2 ;;
esac
