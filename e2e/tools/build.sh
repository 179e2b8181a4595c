#!/usr/bin/env bash
# Builds a real Kubernetes from Go modules, once, into the cache: `build.sh [api|helm|all]` prints the folder of the binaries.
# api: etcd, kube-apiserver and kubectl, enough to prove CRDs; all: the node, the runtime, DNS and helm too.
# Two at a time wait for each other; what is there is not built again.
set -euo pipefail
what=${1:-all}
here=$(cd "$(dirname "$0")" && pwd)
cache=${BEDPLATE_CACHE:-$HOME/.cache/bedplate}
bin=$cache/k8s/$(cat "$here"/*/go.sum "$here"/*/*.go "$here"/kube/*/*.go | sha256sum | cut -c1-16)/bin
mkdir -p "$bin"
exec 9>"$bin/.lock"
flock 9
command -v go >/dev/null || { echo "build.sh: go is missing; install Go 1.26 or newer" >&2; exit 1; }
version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\)$/\1/p' "$here/kube/go.mod")
major=${version#v} major=${major%%.*} minor=${version#v*.} minor=${minor%%.*}
stamp=k8s.io/component-base/version
flags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor"
export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"

# build FOLDER OUTPUT PACKAGE [FLAG...]: skips what is there; a rename makes a cut-off build leave nothing.
build() {
  local folder=$1 output=$2 package=$3; shift 3
  [ -x "$bin/$output" ] && return
  echo "build.sh: $output" >&2
  (cd "$here/$folder" && go build "$@" -ldflags "$flags" -o "$bin/.$output.new" "$package")
  mv "$bin/.$output.new" "$bin/$output"
}

if [ "$what" = helm ]; then
  build runtime helm helm.sh/helm/v4/cmd/helm
  echo "$bin"
  exit
fi
build runtime etcd go.etcd.io/etcd/server/v3
build kube kubectl ./kubectl
if [ "$what" = api ]; then
  build kube kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
else
  build kube kube .
  for name in kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubelet; do ln -sf kube "$bin/$name"; done
  for command in containerd containerd-shim-runc-v2 ctr; do
    build runtime "$command" "github.com/containerd/containerd/v2/cmd/$command" -tags "no_btrfs no_zfs no_devmapper"
  done
  mkdir -p "$bin/cni"
  for plugin in main/bridge main/loopback ipam/host-local meta/portmap; do
    build runtime "cni-$(basename $plugin)" "github.com/containernetworking/plugins/plugins/$plugin"
    ln -sf "../cni-$(basename $plugin)" "$bin/cni/$(basename $plugin)"
  done
  build dns coredns .
  build probe probe .
  build runtime helm helm.sh/helm/v4/cmd/helm
fi
echo "$bin"
