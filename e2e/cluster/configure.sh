#!/usr/bin/env bash
# configure.sh DIR BIN: writes what containerd, the network plugin, kubelet, kube-proxy and CoreDNS read, to DIR/conf.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
dir=$1 bin=$2
mkdir -p "$dir/conf/cni"

cat >"$dir/conf/cni/10-bridge.conflist" <<K
{"cniVersion": "1.0.0", "name": "bplab", "plugins": [{
  "type": "bridge", "bridge": "$bridge", "isGateway": true, "ipMasq": false, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": "$dir/cni", "routes": [{"dst": "0.0.0.0/0"}],
           "ranges": [[{"subnet": "$pod_net", "rangeStart": "10.244.0.10", "gateway": "$node_ip"}]]}}]}
K

# restrict_oom_score_adj: a virtual machine may lack the right to lower it. Network namespaces below the state folder are ours to remove.
cat >"$dir/conf/containerd.toml" <<K
version = 3
root = "$dir/containerd/root"
state = "$dir/containerd/state"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "$dir/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/bedplate-probe:e2e"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["$bin/cni"]
    conf_dir = "$dir/conf/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
[plugins.'io.containerd.grpc.v1.cri']
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
K

# Disk thresholds are low: a developer's disk is often fuller than a node's may be.
cat >"$dir/conf/kubelet.yaml" <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_ip
healthzBindAddress: 127.0.0.1
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $dir/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $dir/pki/kubelet.crt
tlsPrivateKeyFile: $dir/pki/kubelet.key
cgroupDriver: cgroupfs
cgroupRoot: /$netns
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
makeIPTablesUtilChains: false
containerRuntimeEndpoint: unix://$dir/containerd.sock
podLogsDir: $dir/pod-logs
volumePluginDir: $dir/volume-plugins
clusterDomain: cluster.local
clusterDNS: [$dns_service_ip]
resolvConf: ""
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
nodeStatusUpdateFrequency: 5s
K

cat >"$dir/conf/kube-proxy.yaml" <<K
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: $node
clusterCIDR: $pod_net
bindAddress: $node_ip
clientConnection: {kubeconfig: $dir/pki/kube-proxy.kubeconfig}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nftables: {minSyncPeriod: 100ms, syncPeriod: 30s}
nodePortAddresses: [$node_ip/32]
oomScoreAdj: 0
K

cat >"$dir/conf/Corefile" <<K
.:53 {
  bind $node_ip
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $dir/pki/coredns.kubeconfig
    ttl 5
  }
  cache 30 {
    disable success cluster.local
    disable denial cluster.local
  }
}
K
