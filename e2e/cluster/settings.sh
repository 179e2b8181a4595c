# Names and addresses of the test cluster, and its record on this machine. Sourced by the scripts beside it; starts nothing.
# One cluster at a time: the network namespace, the addresses and some folders of kubelet and containerd are fixed.
netns=bplab node=bplab bridge=bplab0 veth=bplab-h
node_ip=10.244.0.1 pod_net=10.244.0.0/24 service_net=10.96.0.0/16 api_service_ip=10.96.0.1 dns_service_ip=10.96.0.10
host_ip=10.245.0.1 lab_ip=10.245.0.2
record=/run/bedplate-cluster # Folder of the cluster that is up, then the pid of what may take it down.
user=65532                   # The user of Bedplate's images.

# cgroups: the cgroup below which kubelet makes those of the pods, so that they are told from another node's: one a hierarchy
# in version 1, one in all in version 2.
cgroups() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo /sys/fs/cgroup/$netns; return; fi
  find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d -printf "%p/$netns\n"
}

# started FILE: whether the process that FILE records (pid, start time) still runs. A number alone could be another's by now.
started() {
  local pid since stat
  read -r pid since <"$1" && stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  set -- $stat
  [ "${20}" = "$since" ] || return 1
  # A zombie without other threads has ended: process 1 may collect it late. With threads it still holds its sockets.
  [ "$1" != Z ] || [ "$(ls "/proc/$pid/task" 2>/dev/null | wc -l)" -gt 1 ]
}

# write_pid PID FILE
write_pid() {
  local stat
  stat=$(cat "/proc/$1/stat") || return 1
  stat=${stat##*) }
  echo "$1 $(set -- $stat; echo "${20}")" >"$2"
}

# until_true SECONDS WHAT COMMAND...: waits for the command to succeed; says what it waited for in vain.
until_true() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || { echo "cluster: gave up waiting: $what" >&2; return 1; }
    sleep 0.2
  done
}
