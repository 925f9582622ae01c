//! What a spec asks of a node, whatever else runs there.

use super::dirt::constraints_of;
use crate::constraint::Constraint;
use crate::device;
use crate::object::Node;
use crate::spec::{GpuCount, GpuRequest, Platform, ServiceSpec};

pub(super) struct Criteria {
    /// With the text as written; `None` where it cannot be read.
    constraints: Vec<(String, Option<Constraint>)>,
    pub(super) platforms: Vec<Platform>,
    platform: Option<Platform>,
    devices: Vec<String>,
    gpus: u32,
    overlay: bool,
}

/// The first that a node does not meet.
pub(super) enum Unmet {
    Constraint(String),
    /// None of those that the image is there for.
    Platform,
    /// That which the service names.
    OwnPlatform(String),
    Device(String),
    Overlay,
}

impl Criteria {
    pub(super) fn of(spec: &ServiceSpec) -> Self {
        let parse = |text: &String| (text.clone(), Constraint::parse(text).ok());
        let placement = spec.task.placement.as_ref();
        let run = &spec.task.container.run;
        let devices = run.devices.iter().map(|device| &device.on_host);
        Self {
            constraints: constraints_of(spec).iter().map(parse).collect(),
            platforms: placement.map_or_else(Vec::new, |it| it.platforms.clone()),
            platform: run.platform.clone(),
            devices: devices
                .filter(|it| !device::is_common(it))
                .cloned()
                .collect(),
            gpus: run.gpus.as_ref().map_or(0, gpus),
            overlay: spec.is_on_networks(),
        }
    }

    pub(super) fn unmet(&self, node: &Node) -> Option<Unmet> {
        let unmet = self
            .constraints
            .iter()
            .find(|(_, parsed)| !parsed.as_ref().is_some_and(|it| it.matches(node)));
        if let Some((text, _)) = unmet {
            return Some(Unmet::Constraint(text.clone()));
        }
        if let Some(unsuited) = self.unsuited(node) {
            return Some(unsuited);
        }
        if let Some(missing) = self.missing_device(node) {
            return Some(Unmet::Device(missing));
        }
        (self.overlay && node.is_without_overlay()).then_some(Unmet::Overlay)
    }

    fn unsuited(&self, node: &Node) -> Option<Unmet> {
        let actual = node.description.as_ref().map(|it| &it.platform);
        let suits = |wanted: &Platform| actual.is_some_and(|actual| wanted.runs_on(actual));
        if !self.platforms.is_empty() && !self.platforms.iter().any(suits) {
            return Some(Unmet::Platform);
        }
        let wanted = self.platform.as_ref();
        let wanted = wanted.filter(|wanted| !suits(wanted));
        wanted.map(|wanted| Unmet::OwnPlatform(wanted.to_string()))
    }

    fn missing_device(&self, node: &Node) -> Option<String> {
        let there = node.description.as_ref().map(|it| &it.devices);
        let is_missing = |path: &&String| there.is_none_or(|there| !there.contains(*path));
        if let Some(path) = self.devices.iter().find(is_missing) {
            return Some(path.clone());
        }
        let gpus = there.map_or(0, device::gpus);
        match self.gpus {
            wanted if wanted <= gpus => None,
            1 => Some("a GPU".to_owned()),
            wanted => Some(format!("{wanted} GPUs")),
        }
    }
}

/// How many a node must have. What devices the drivers of others need is not
/// known here.
fn gpus(request: &GpuRequest) -> u32 {
    match &request.count {
        _ if !matches!(request.driver.as_str(), "" | "nvidia") => 0,
        GpuCount::Number(number) => *number,
        GpuCount::All | GpuCount::Named(_) => 1,
    }
}
