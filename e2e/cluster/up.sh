#!/usr/bin/env bash
# up.sh DIR: a Kubernetes of one node in a network namespace of its own; its kubeconfig is DIR/kubeconfig, its volumes are DIR/volumes.
# Pods reach servers of this machine at 10.245.0.1; this machine reaches pods and Services by their addresses.
# What an earlier run left is taken down first, unless the process named by its BEDPLATE_CLUSTER_OWNER (a pid) still runs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/settings.sh"
[ $# = 1 ] || { echo "up.sh: which folder? up.sh DIR" >&2; exit 2; }
"$here/needs.sh"
bin=$("$here/../tools/build.sh" all)

exec 8>"$record.lock"
flock -w 60 8 || { echo "up.sh: another up.sh or down.sh is at work for a minute already" >&2; exit 1; }
if [ -e "$record" ]; then
  { read -r old; read -r owner _ || owner=; } <"$record"
  tail -n +2 "$record" >"$record.owner"
  if [ -n "$owner" ] && started "$record.owner"; then
    echo "up.sh: the cluster of $old is in use by process $owner; one cluster at a time fits on a machine" >&2; exit 1
  fi
  echo "up.sh: taking down what is left in $old" >&2
  BEDPLATE_CLUSTER_LOCKED=1 "$here/down.sh" "$old"
fi
mkdir -p "$1"
dir=$(cd "$1" && pwd)
[ -z "$(ls -A "$dir")" ] || { echo "up.sh: $dir is not empty" >&2; exit 1; }
[ ${#dir} -le 60 ] || { echo "up.sh: $dir is too long a path for the sockets in it; at most 60 bytes" >&2; exit 1; }
echo "$dir" >"$record"
if [ -n "${BEDPLATE_CLUSTER_OWNER:-}" ]; then write_pid "$BEDPLATE_CLUSTER_OWNER" "$record.owner" && cat "$record.owner" >>"$record"; fi
fail() {
  set +e
  echo "up.sh: failed; the ends of the logs:" >&2
  tail -n 5 "$dir"/log/*.log >&2
  BEDPLATE_CLUSTER_LOCKED=1 "$here/down.sh" "$dir"
  exit 1
}
trap fail ERR INT TERM

mkdir -p "$dir"/{log,pid,conf,extra,volumes}
ln -s "$bin" "$dir/bin"
export KUBECONFIG=$dir/kubeconfig
# What kubelet and the network plugins change for the whole machine; down.sh puts it back.
sysctl vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes >"$dir/sysctl"
for cgroup in $(cgroups); do mkdir -p "$cgroup"; done
"$here/certificates.sh" "$dir"
"$here/configure.sh" "$dir" "$bin"

ip netns add $netns
ip link add $veth type veth peer name bplab-n netns $netns
ip addr add $host_ip/30 dev $veth
ip link set $veth up
ip route add $pod_net via $lab_ip
ip route add $service_net via $lab_ip
nsenter --net=/run/netns/$netns sh -e <<N
ip link set lo up
ip addr add $lab_ip/30 dev bplab-n
ip link set bplab-n up
ip route add default via $host_ip
ip link add $bridge type bridge
ip addr add $node_ip/24 dev $bridge
ip link set $bridge up
N
nsenter --net=/run/netns/$netns sysctl -q net.ipv4.ip_forward=1

component() { "$here/component.sh" start "$dir" "$1"; }
ready() { "$bin/kubectl" "$@"; }
component etcd
component containerd
component kube-apiserver
until_true 180 "the API server is ready" ready get --raw /readyz
for name in kube-controller-manager kube-scheduler kube-proxy; do component $name; done
"$bin/kubectl" apply --server-side --filename "$here/manifests" >/dev/null
component coredns
nsenter --net=/run/netns/$netns "$bin/probe" get http://127.0.0.1:8181/ready >/dev/null
until_true 60 "containerd answers" "$bin/ctr" --address "$dir/containerd.sock" version
"$here/probe-image.sh" "$bin/probe" "$dir/probe.tar"
"$here/load-images.sh" "$dir" "$dir/probe.tar"
component kubelet
until_true 180 "the node is there" ready get node $node
"$bin/kubectl" wait --for condition=Ready --timeout 180s node/$node >/dev/null
until_true 180 "the default service account is there" ready --namespace default get serviceaccount default
for claim in bedplate-storage bedplate-inputs; do "$here/volume.sh" "$dir" default $claim; done
for pid in "$dir"/pid/*; do started "$pid" || { echo "up.sh: $(basename "$pid") has ended" >&2; false; }; done
echo "up.sh: ready; export KUBECONFIG=$KUBECONFIG" >&2
