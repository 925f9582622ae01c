//! What a spec asks of a node, whatever else runs there.

use super::dirt::constraints_of;
use crate::constraint::{Constraint, same_arch};
use crate::device;
use crate::object::Node;
use crate::spec::{GpuCount, GpuRequest, Platform, ServiceSpec};

pub(super) struct Criteria {
    /// With the text as written; `None` where it cannot be read.
    constraints: Vec<(String, Option<Constraint>)>,
    pub(super) platforms: Vec<Platform>,
    devices: Vec<String>,
    gpus: u32,
}

/// The first that a node does not meet.
pub(super) enum Unmet {
    Constraint(String),
    Platform,
    Device(String),
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
            devices: devices
                .filter(|it| !device::is_common(it))
                .cloned()
                .collect(),
            gpus: run.gpus.as_ref().map_or(0, gpus),
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
        if !self.platform_suits(node) {
            return Some(Unmet::Platform);
        }
        self.missing_device(node).map(Unmet::Device)
    }

    fn platform_suits(&self, node: &Node) -> bool {
        let actual = node.description.as_ref().map(|it| &it.platform);
        let suits = |wanted: &Platform| {
            actual.is_some_and(|actual| {
                (wanted.os.is_empty() || wanted.os.eq_ignore_ascii_case(&actual.os))
                    && (wanted.architecture.is_empty()
                        || same_arch(&wanted.architecture, &actual.architecture))
            })
        };
        self.platforms.is_empty() || self.platforms.iter().any(suits)
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
