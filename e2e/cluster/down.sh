#!/usr/bin/env bash
# down.sh DIR: ends what up.sh started, and removes it with DIR: pods, processes (by recorded pid), mounts, cgroups, network.
# Works on half a cluster too, and on none. KEEP_LOGS=FOLDER keeps the logs there.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/settings.sh"
[ $# = 1 ] || { echo "down.sh: which folder? down.sh DIR" >&2; exit 2; }
if [ "${BEDPLATE_CLUSTER_LOCKED:-0}" = 0 ]; then
  exec 8>"$record.lock"
  flock -w 60 8 || { echo "down.sh: another up.sh or down.sh is at work for a minute already" >&2; exit 1; }
fi
dir=$(cd "$1" 2>/dev/null && pwd) || dir=$1
[ "$(head -n 1 "$record" 2>/dev/null)" = "$dir" ] || { echo "down.sh: $dir holds no cluster that is up" >&2; exit 0; }

component() { "$here/component.sh" "$1" "$dir" "$2"; }
for name in kubelet fake-gpu-plugin postgres kube-proxy coredns kube-scheduler kube-controller-manager; do component kill $name; done

# Containers: end their tasks, then what is left of their shims, which outlive containerd.
containerd=("$dir/bin/ctr" --address "$dir/containerd.sock" --timeout 20s --namespace k8s.io)
if [ -f "$dir/pid/containerd" ] && started "$dir/pid/containerd"; then
  for task in $("${containerd[@]}" task ls --quiet 2>/dev/null); do "${containerd[@]}" task kill --signal KILL "$task" 2>/dev/null; done
  for task in $("${containerd[@]}" task ls --quiet 2>/dev/null); do "${containerd[@]}" task rm --force "$task" 2>/dev/null; done >/dev/null
fi
for name in kube-apiserver containerd etcd; do component kill $name; done
for process in /proc/[0-9]*; do
  if tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -q "containerd-shim-runc-v2 .*-address $dir/containerd.sock"; then
    kill -KILL "${process#/proc/}" 2>/dev/null
  fi
done

# Processes of pods whose shim was killed.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  left=$(for cgroup in $(cgroups); do find "$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null; done | sort -u)
  [ -n "$left" ] || break
  kill -KILL $left 2>/dev/null
  sleep 0.2
done
for cgroup in $(cgroups); do find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null; done

mounts() { awk -v below="$dir/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r; }
for attempt in 1 2 3; do for mount in $(mounts); do umount "$mount" 2>/dev/null || umount --lazy "$mount"; done; done
ip netns del $netns 2>/dev/null
ip link del $veth 2>/dev/null
[ ! -f "$dir/sysctl" ] || sysctl -q -p "$dir/sysctl"

# Places that kubelet, containerd and the network plugins fix: drop what is ours, and the folders where nothing else is.
grep -l --fixed-strings "$dir/" /var/lib/cni/results/* 2>/dev/null | xargs --no-run-if-empty rm
rm -f /var/lib/kubelet/device-plugins/{kubelet.sock,kubelet_internal_checkpoint,DEPRECATION,bedplate-fake-gpu.sock}
find /var/log/containers -maxdepth 1 -type l -lname "$dir/*" -delete 2>/dev/null
rmdir /run/containerd/{runc/k8s.io,runc,s,fifo} /run/containerd /var/lib/cni/results /var/lib/cni /var/log/containers \
  /var/lib/kubelet/{device-plugins,plugins_registry,plugins,pod-resources} /var/lib/kubelet /run/runc 2>/dev/null

[ -z "${KEEP_LOGS:-}" ] || { mkdir -p "$KEEP_LOGS" && cp -r "$dir/log" "$dir/pod-logs" "$KEEP_LOGS/" 2>/dev/null; }
if [ -n "$(mounts)" ]; then echo "down.sh: still mounted: $(mounts)" >&2; exit 1; fi
rm -rf "$dir" "$record" "$record.owner"
