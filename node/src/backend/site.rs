//! The API's questions about the site and the LAN.

use certs::SiteSecret;

use crate::api::backend::UpRequest;
use crate::api::dto;
use crate::api::error::ApiError;
use crate::site::discover::{Device, discover};
use crate::site::{Options, Progress};
use crate::swarm::Swarm;

pub async fn up(swarm: &Swarm, request: UpRequest) -> Result<dto::UpProgress, ApiError> {
    let UpRequest { key, .. } = &request;
    let key = key.clone();
    let stretched = tokio::task::spawn_blocking(move || SiteSecret::of_key(&key)).await;
    let secret = stretched
        .map_err(|error| ApiError::internal(error.to_string()))?
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    let options = Options {
        secret,
        managers: request.managers,
        labels: request.labels,
        listen: request.listen,
        advertise: request.advertise,
        availability: request.availability,
    };
    swarm.up(options).await?;
    Ok(progress(swarm))
}

pub fn progress(swarm: &Swarm) -> dto::UpProgress {
    let Progress {
        stage,
        found,
        swarm,
        node,
        through,
        message,
    } = swarm.progress().borrow().clone();
    dto::UpProgress {
        state: stage.as_str().to_owned(),
        found: found as u64,
        swarm: swarm.map(|id| id.to_string()).unwrap_or_default(),
        node: node.map(|id| id.to_string()).unwrap_or_default(),
        through: through.map(|who| who.to_string()).unwrap_or_default(),
        message,
    }
}

pub async fn devices(swarm: &Swarm) -> Vec<dto::Device> {
    discover(swarm).await.into_iter().map(device).collect()
}

fn device(device: Device) -> dto::Device {
    let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let cluster = device.cluster();
    let about = device.about.unwrap_or_default();
    dto::Device {
        swarm: cluster.map(|id| id.to_string()).unwrap_or_default(),
        hostname: about.hostname,
        address: device.addr.to_string(),
        site: device.site.map(hex).unwrap_or_default(),
        version: about.version,
        state: match device.swarm {
            Some(_) => "member".into(),
            None => "waiting".into(),
        },
        node: device.node.to_string(),
        is_self: device.is_self,
        own: device.own,
    }
}
