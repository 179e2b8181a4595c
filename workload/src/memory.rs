//! How much memory this process may still take: the machine's free memory within the limits of its control groups.
//!
//! Owns the reading of Linux's figures, of cgroup v2 and v1 alike. Decides nothing.

use std::{fs, path::Path};

/// Bytes that can be had without pushing anything out; none where the system does not say.
///
/// The machine's `MemAvailable` (`proc_meminfo(5)`), or what a control group leaves where that is less: its limit without its
/// working set, which is its usage without the file pages that the kernel drops first (as the kubelet reckons).
pub fn available_bytes() -> Option<u64> {
    available_below(Path::new("/"))
}

fn available_below(root: &Path) -> Option<u64> {
    let meminfo = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let machine = field(&meminfo, "MemAvailable:")?.strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10;
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mounts = root.join("sys/fs/cgroup");
    let rooms = groups.lines().filter_map(|line| room(&mounts, line));
    rooms.chain([machine]).min()
}

/// Names of one version's files.
struct Names {
    limit: &'static str,
    usage: &'static str,
    droppable: &'static str,
}

const V1: Names =
    Names { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", droppable: "total_inactive_file" };
const V2: Names = Names { limit: "memory.max", usage: "memory.current", droppable: "inactive_file" };

/// What the group of one line of `/proc/self/cgroup` (`ID:CONTROLLERS:PATH`, `cgroups(7)`) leaves; none without a limit.
fn room(mounts: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
    let (mount, names) = match controllers {
        "" => (mounts.to_path_buf(), V2),
        _ if controllers.split(',').any(|controller| controller == "memory") => (mounts.join("memory"), V1),
        _ => return None,
    };
    // Inside a container the mount is the group's own folder, while the path may be the node's.
    let own = mount.join(path);
    let folder = if own.join(names.limit).exists() { own } else { mount };
    let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let droppable = field(&stat, names.droppable).and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
    let working_set = number(names.usage)?.saturating_sub(droppable);
    Some(number(names.limit)?.saturating_sub(working_set))
}

/// What follows the name at the start of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A machine with 8 GiB free and these files.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    8388608 kB\n")].iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn available(files: &[(&str, &str)]) -> Option<u64> {
        available_below(machine(files).path())
    }

    #[test]
    fn without_a_limit_it_is_what_the_machine_has() {
        assert_eq!(available(&[]), Some(8192 * MIB));
        let unlimited = [("proc/self/cgroup", "0::/"), ("sys/fs/cgroup/memory.max", "max\n")];
        assert_eq!(available(&unlimited), Some(8192 * MIB));
        let root = tempfile::tempdir().unwrap();
        assert_eq!(available_below(root.path()), None);
    }

    #[test]
    fn a_group_of_version_two_leaves_its_limit_without_the_working_set() {
        let files = [
            ("proc/self/cgroup", "0::/kubepods/pod1\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.current", "536870912\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.stat", "anon 1\ninactive_file 268435456\nactive_file 7\n"),
        ];
        assert_eq!(available(&files), Some(768 * MIB));
    }

    #[test]
    fn in_a_container_of_version_one_the_mount_is_the_group_whatever_the_path_says() {
        let files = [
            ("proc/self/cgroup", "9:cpu,cpuacct:/kubepods/x\n4:memory:/kubepods/x\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "67108864\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 5\ntotal_inactive_file 33554432\n"),
        ];
        assert_eq!(available(&files), Some(224 * MIB));
    }
}
