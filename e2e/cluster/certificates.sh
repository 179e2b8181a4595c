#!/usr/bin/env bash
# certificates.sh DIR: a certificate authority and the certificates of a one-node cluster in DIR/pki, kubeconfigs beside them.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
mkdir -p "$1/pki" && cd "$1/pki"
umask 077

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
key ca
openssl req -x509 -new -key ca.key -subj /CN=bedplate-test -days 30 -out ca.crt -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature

# certificate FILE SUBJECT [SUBJECT-ALTERNATIVE-NAMES]: for servers and clients alike.
certificate() {
  key "$1"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  { echo "keyUsage=critical,digitalSignature,keyEncipherment"; echo "extendedKeyUsage=serverAuth,clientAuth"
    [ -z "${3:-}" ] || echo "subjectAltName=$3"; } >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
  rm "$1.csr" "$1.ext"
}

# kubeconfig FILE OUTPUT
kubeconfig() {
  cat >"$2" <<K
apiVersion: v1
kind: Config
clusters: [{name: bplab, cluster: {server: "https://$node_ip:6443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
contexts: [{name: bplab, context: {cluster: bplab, user: $1}}]
current-context: bplab
K
}

openssl genrsa -out sa.key 2048 2>/dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
names=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost
certificate apiserver /CN=kube-apiserver "$names,IP:127.0.0.1,IP:$api_service_ip,IP:$node_ip"
certificate apiserver-kubelet /O=system:masters/CN=apiserver-kubelet-client
certificate front-proxy /CN=front-proxy
certificate admin /O=system:masters/CN=admin
certificate kube-controller-manager /CN=system:kube-controller-manager
certificate kube-scheduler /CN=system:kube-scheduler
certificate kube-proxy /CN=system:kube-proxy
certificate coredns /CN=system:coredns
certificate kubelet "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$node_ip,IP:127.0.0.1"
for name in kube-controller-manager kube-scheduler kube-proxy coredns kubelet; do kubeconfig "$name" "$name.kubeconfig"; done
kubeconfig admin ../kubeconfig
