//! What the plugin answers kubelet (device plugin API v1beta1). Owns no device and no socket.

use std::{pin::Pin, time::Duration};

use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use crate::devices::Devices;
use api::{
    AllocateRequest, AllocateResponse, ContainerAllocateRequest, ContainerAllocateResponse, DevicePluginOptions, Empty,
    ListAndWatchResponse, device_plugin_server::DevicePlugin,
};

/// The generated messages and services.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod api {
    tonic::include_proto!("v1beta1");
}

/// Where the container finds which devices it has, as NVIDIA's own plugin says it.
const VISIBLE_DEVICES: &str = "NVIDIA_VISIBLE_DEVICES";
/// Lists on their way to kubelet: each replaces the one before, so more than two are never useful.
const LISTS: usize = 2;

/// The plugin's half of the API.
#[derive(Debug)]
pub struct Plugin {
    devices: Devices,
    poll: Duration,
}

impl Plugin {
    /// Serves these devices and looks for a change of their health every `poll`.
    pub const fn new(devices: Devices, poll: Duration) -> Self {
        Self { devices, poll }
    }
}

#[tonic::async_trait]
impl DevicePlugin for Plugin {
    type ListAndWatchStream = Pin<Box<dyn Stream<Item = Result<ListAndWatchResponse, Status>> + Send>>;

    async fn get_device_plugin_options(&self, _: Request<Empty>) -> Result<Response<DevicePluginOptions>, Status> {
        Ok(Response::new(DevicePluginOptions::default()))
    }

    /// The devices at once, and again at every change.
    async fn list_and_watch(&self, _: Request<Empty>) -> Result<Response<Self::ListAndWatchStream>, Status> {
        let (lists, stream) = mpsc::channel(LISTS);
        let (devices, poll) = (self.devices.clone(), self.poll);
        tokio::spawn(async move {
            let mut told = Vec::new();
            loop {
                let now = devices.list();
                if now != told {
                    told.clone_from(&now);
                    if lists.send(Ok(ListAndWatchResponse { devices: now })).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    () = lists.closed() => return,
                    () = tokio::time::sleep(poll) => {}
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn allocate(&self, request: Request<AllocateRequest>) -> Result<Response<AllocateResponse>, Status> {
        let container_responses = request.into_inner().container_requests.iter().map(allocated).collect();
        Ok(Response::new(AllocateResponse { container_responses }))
    }
}

fn allocated(request: &ContainerAllocateRequest) -> ContainerAllocateResponse {
    let envs = [(VISIBLE_DEVICES.to_owned(), request.devices_ids.join(","))].into();
    ContainerAllocateResponse { envs }
}
