//! `fake-gpu-plugin`: tells kubelet of GPUs that do not exist, so that scheduling and failing on them can be tested.
//!
//! Owns the socket of the plugin and its registration. A file says which devices are unhealthy; nothing is ever computed on one.
#![forbid(unsafe_code)]

mod devices;
mod service;

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Parser;
use tokio::{net::UnixListener, time::sleep};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Endpoint, Server};

use devices::Devices;
use service::{
    Plugin,
    api::{
        DevicePluginOptions, RegisterRequest, device_plugin_server::DevicePluginServer,
        registration_client::RegistrationClient,
    },
};

/// Name of our socket in kubelet's folder; `e2e/cluster/down.sh` removes it.
const SOCKET: &str = "bedplate-fake-gpu.sock";
/// The version that kubelet and its plugins speak.
const API_VERSION: &str = "v1beta1";
/// How often the control file and kubelet's socket are looked at: a test waits for seconds anyhow.
const POLL: Duration = Duration::from_millis(200);

/// Which socket it is: its inode and when it was made.
type Socket = (u64, i64, i64);

/// A device plugin for kubelet whose GPUs exist only on paper.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Name of the resource.
    #[arg(long, default_value = "nvidia.com/gpu")]
    resource: String,
    /// Number of devices.
    #[arg(long, default_value_t = 8)]
    count: usize,
    /// File with the numbers of unhealthy devices, in words: `0 3`. No file, or an empty one: all are well.
    #[arg(long, value_name = "FILE")]
    control: PathBuf,
    /// Kubelet's folder for device plugins.
    #[arg(long, default_value = "/var/lib/kubelet/device-plugins")]
    folder: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    loop {
        // A kubelet that starts removes every socket beside its own and expects its plugins to come again.
        let kubelet = kubelet_socket(&args).await;
        serve(&args, kubelet).await?;
    }
}

/// Serves until kubelet's socket is another one.
async fn serve(args: &Args, kubelet: Socket) -> anyhow::Result<()> {
    let socket = args.folder.join(SOCKET);
    if socket.exists() {
        fs::remove_file(&socket).with_context(|| format!("cannot remove {}", socket.display()))?;
    }
    let listener = UnixListener::bind(&socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    let plugin = Plugin::new(Devices::new(args.count, args.control.clone()), POLL);
    let server = Server::builder()
        .add_service(DevicePluginServer::new(plugin))
        .serve_with_incoming(UnixListenerStream::new(listener));
    tokio::select! {
        served = server => served.context("the plugin's server ended"),
        gone = registered_until_replaced(args, kubelet) => gone,
    }
}

async fn registered_until_replaced(args: &Args, kubelet: Socket) -> anyhow::Result<()> {
    let address = format!("unix://{}", args.folder.join("kubelet.sock").display());
    let channel = Endpoint::from_shared(address)?.connect().await.context("cannot reach kubelet's socket")?;
    let request = RegisterRequest {
        version: API_VERSION.to_owned(),
        endpoint: SOCKET.to_owned(),
        resource_name: args.resource.clone(),
        options: Some(DevicePluginOptions::default()),
    };
    RegistrationClient::new(channel).register(request).await.context("kubelet refuses the plugin")?;
    println!("{} devices of {} are known to kubelet", args.count, args.resource);
    while kubelet_inode(args) == Some(kubelet) {
        sleep(POLL).await;
    }
    Ok(())
}

/// Waits for kubelet's socket, and tells which one it is.
async fn kubelet_socket(args: &Args) -> Socket {
    loop {
        match kubelet_inode(args) {
            Some(inode) => return inode,
            None => sleep(POLL).await,
        }
    }
}

/// The number of a removed socket is given to the next one, so its time belongs to it.
fn kubelet_inode(args: &Args) -> Option<Socket> {
    let metadata = fs::metadata(args.folder.join("kubelet.sock")).ok()?;
    Some((metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}
