//! The cluster under test: its folder, its tools, waiting for what it says. Owns no object in it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread,
    time::{Duration, Instant},
};

/// Longest wait for anything that a cluster does by itself. Two cores shared with others take a minute for what takes seconds alone.
pub const PATIENCE: Duration = Duration::from_secs(240);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(250);

/// Ordinary tests share the cluster; one that restarts a part of it has it alone.
static USE: RwLock<()> = RwLock::new(());

/// A cluster that `e2e/cluster/up.sh` brought up.
pub struct Cluster {
    folder: PathBuf,
}

/// What a command said and whether it succeeded.
#[derive(Debug)]
pub struct Said {
    /// Exit status 0.
    pub ok: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Cluster {
    /// The cluster that the environment names.
    pub fn get() -> Self {
        let folder = env::var("BEDPLATE_E2E_DIR").expect("set BEDPLATE_E2E_DIR to the folder of e2e/cluster/up.sh");
        Self { folder: folder.into() }
    }

    /// Held by a test that needs the cluster to stay as it is.
    pub fn shared() -> RwLockReadGuard<'static, ()> {
        USE.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held by a test that disturbs the cluster.
    pub fn alone() -> RwLockWriteGuard<'static, ()> {
        USE.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of the cluster.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program of the cluster's, or of `e2e/cluster`.
    pub fn command(&self, program: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster").join(program);
        let path = if script.is_file() { script } else { self.folder.join("bin").join(program) };
        let mut command = Command::new(path);
        command.env("KUBECONFIG", self.folder.join("kubeconfig"));
        command
    }

    /// `kubectl ARGUMENTS`, whatever comes of it.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Said {
        say(self.command("kubectl").args(arguments), "")
    }

    /// `kubectl ARGUMENTS`, which must succeed; its output.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let said = self.try_kubectl(arguments);
        assert!(said.ok, "kubectl {}: {}", arguments.join(" "), said.err);
        said.out
    }

    /// `kubectl ARGUMENTS` with a manifest on its standard input, whatever comes of it.
    pub fn try_kubectl_with(&self, arguments: &[&str], manifest: &str) -> Said {
        say(self.command("kubectl").args(arguments).args(["--filename", "-"]), manifest)
    }

    /// Starts, stops or kills a process of the cluster (`e2e/cluster/component.sh`).
    pub fn component(&self, action: &str, name: &str) {
        let folder = self.folder.to_str().expect("a folder in UTF-8");
        let said = say(self.command("component.sh").args([action, folder, name]), "");
        assert!(said.ok, "component.sh {action} {name}: {}", said.err);
    }

    /// Kills (SIGKILL) the process of this name in a pod, from outside, as the kernel or a failing machine would.
    pub fn kill_in_pod(&self, uid: &str, name: &str) {
        let pid = wait_for(&format!("{name} runs in the pod {uid}"), || process_of(uid, name).ok_or_else(String::new));
        let said = say(Command::new("kill").args(["-KILL", &pid]), "");
        assert!(said.ok, "kill: {}", said.err);
    }
}

/// The process of this name whose cgroup is a pod's.
fn process_of(uid: &str, name: &str) -> Option<String> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let mut pids =
        processes.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.parse::<u32>().is_ok());
    pids.find(|pid| {
        let read = |what: &str| fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
        // The kernel keeps 15 bytes of a name.
        read("cgroup").contains(uid) && name.starts_with(read("comm").trim()) && !read("comm").trim().is_empty()
    })
}

/// Runs a command to its end.
pub fn say(command: &mut Command, input: &str) -> Said {
    use std::io::Write as _;
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    // A program that does not read its input closes it, which is its right.
    let _ = child.stdin.take().expect("a piped input").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the command's output");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Said { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Looks until there is something, or panics with what was waited for and what was seen last.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "gave up waiting until {what}; seen last: {seen}"),
        }
        thread::sleep(POLL);
    }
}
