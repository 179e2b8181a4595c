//! Operators for one namespace: in this process, through a wire, or as a process that can be killed.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use bedplate_operator::{config::OperatorConfig, controller::Operator};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Cluster, Wire, eventually, server::free_port};

/// Shortest lease that the settings take.
const LEASE_SECONDS: u16 = 2;

/// An operator in this process. Dropping it is as good as a crash: nothing is handed over.
pub struct Running {
    task: JoinHandle<()>,
    stop: CancellationToken,
    port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cluster {
    /// An operator of that name.
    pub async fn operator(&self, identity: &str) -> Running {
        self.operator_through(identity, &Wire::default()).await
    }

    /// The same through a wire.
    pub async fn operator_through(&self, identity: &str, wire: &Wire) -> Running {
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        let config = OperatorConfig::read(&self.settings(folder.path(), port)).unwrap();
        let client = self.server.client(Some(wire)).await;
        let operator = Operator { config, client, identity: identity.to_owned(), database_url: None };
        let stop = CancellationToken::new();
        let running = operator.run(stop.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = running.await {
                eprintln!("the operator ended: {}", bedplate_telemetry::chain::Chain(&error));
            }
        });
        Running { task, stop, port }
    }

    /// An operator in a process of its own.
    pub fn operator_process(&self, folder: &Path, identity: &str) -> Process {
        let port = free_port();
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_bedplate-operator"))
            .args(["run", "--identity", identity, "--config"])
            .arg(self.settings(folder, port))
            .env("KUBECONFIG", self.server.kubeconfig())
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Process { child, port }
    }

    fn settings(&self, folder: &Path, port: u16) -> std::path::PathBuf {
        let namespace = &self.namespace;
        let path = folder.join("operator.yaml");
        let text = format!(
            "cluster: {{images: {{dataset: d, trainer: t, inference: i}}}}\nhttp: 127.0.0.1:{port}\n\
             leaderElection: {{namespace: {namespace}, name: bedplate-operator, leaseSeconds: {LEASE_SECONDS}}}\n\
             watchNamespaces: [{namespace}]\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Running {
    /// Asks it to stop and waits until it has handed over.
    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task).await.unwrap();
    }

    /// Waits until it has ended by itself.
    pub async fn ends(&self) {
        let ended = async || if self.task.is_finished() { Ok(()) } else { Err("it lives".to_owned()) };
        eventually("the operator ends", ended).await;
    }

    /// The sum of a series over its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        metric(self.port, name).await
    }

    /// Waits until it leads.
    pub async fn leads(&self) {
        leads(self.port).await;
    }
}

/// An operator in a process of its own.
pub struct Process {
    child: Child,
    port: u16,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Process {
    /// Waits until it leads.
    pub async fn leads(&self) {
        leads(self.port).await;
    }

    /// Sends SIGTERM and waits for its end.
    pub fn terminate(mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

async fn leads(port: u16) {
    let leads = async || if metric(port, "bedplate_leader").await > 0.0 { Ok(()) } else { Err("it waits".to_owned()) };
    eventually("the operator leads", leads).await;
}

/// Zero while nobody answers.
async fn metric(port: u16, name: &str) -> f64 {
    let text = scrape(port).await.unwrap_or_default();
    let is_series = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let values = text.lines().filter(is_series).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

async fn scrape(port: u16) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
