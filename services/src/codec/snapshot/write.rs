//! The state as records.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::IpAddr;

use super::super::record::ClusterV1;
use super::super::{CodecError, encode, to_json};
use super::{MAX_SNAPSHOT_RECORD, Record, RecordV1};
use crate::file::{FileKind, FileObject};
use crate::id::Id;
use crate::object::{Attachment, Endpoint, Network, Node, RootRotation, Service, SlotId, Task};
use crate::spec::{PortSpec, ServiceSpec};
use crate::state::State;

/// # Errors
/// `TooLarge` for an object beyond [`MAX_SNAPSHOT_RECORD`], and what `out`
/// fails with; then the stream is not a snapshot.
pub fn write_snapshot(state: &State, out: impl Write) -> Result<(), CodecError> {
    let mut out = Writer {
        out,
        records: 0,
        specs: BTreeSet::new(),
    };
    if let Some(cluster) = state.cluster() {
        out.record(RecordV1::Cluster(ClusterV1::of(cluster)?))?;
        if let Some(key) = &cluster.unlock_key {
            out.record(RecordV1::UnlockKey(key.clone()))?;
        }
    }
    if let Some(rotation) = state.rotation() {
        out.record(RecordV1::Rotation(RootRotation::clone(rotation)))?;
    }
    for node in state.nodes() {
        out.node(node)?;
    }
    for id in state.removed_nodes() {
        out.record(RecordV1::RemovedNode(id))?;
    }
    if state.had_ingress() {
        out.record(RecordV1::HadIngress)?;
    }
    for network in state.networks() {
        let cursors = state.cursors(network.id);
        out.network(network, cursors)?;
    }
    for attachment in state.attachments() {
        out.attachment(attachment)?;
    }
    for file in FileKind::ALL.into_iter().flat_map(|kind| state.files(kind)) {
        out.file(file)?;
    }
    for service in state.services() {
        out.service(service)?;
    }
    for task in state.tasks() {
        out.task(task)?;
    }
    let records = out.records;
    out.record(RecordV1::End { records })?;
    out.out.flush()?;
    Ok(())
}

struct Writer<W> {
    out: W,
    records: u64,
    specs: BTreeSet<(Id, u64)>,
}

impl<W: Write> Writer<W> {
    fn record(&mut self, record: RecordV1) -> Result<(), CodecError> {
        let bytes = encode::<MAX_SNAPSHOT_RECORD>(&Record::V1(record))?;
        let length = u32::try_from(bytes.len()).map_err(CodecError::malformed)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&bytes)?;
        self.records += 1;
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<(), CodecError> {
        self.record(RecordV1::Node {
            id: node.id,
            meta: node.meta,
            spec_json: to_json(&node.spec)?,
            description_json: node.description.as_ref().map(to_json).transpose()?,
            addr: node.addr,
        })
    }

    fn spec(
        &mut self,
        service: Id,
        spec_version: u64,
        spec: &ServiceSpec,
    ) -> Result<(), CodecError> {
        if !self.specs.insert((service, spec_version)) {
            return Ok(());
        }
        self.record(RecordV1::Spec {
            service,
            spec_version,
            spec_json: to_json(spec)?,
        })
    }

    fn service(&mut self, service: &Service) -> Result<(), CodecError> {
        self.spec(service.id, service.spec_version, &service.spec)?;
        let previous = service.previous_spec.as_ref();
        self.record(RecordV1::Service {
            id: service.id,
            meta: service.meta,
            spec_version: service.spec_version,
            previous_spec_json: previous.map(to_json).transpose()?,
            update: service.update.clone(),
        })?;
        if let Some(status) = service.job {
            let service = service.id;
            self.record(RecordV1::Job { service, status })?;
        }
        if is_plain(service) {
            return Ok(());
        }
        self.record(RecordV1::Endpoint {
            service: service.id,
            published: published(&service.spec, &service.endpoint),
            vips: service.endpoint.vips.clone(),
        })
    }

    fn network(
        &mut self,
        network: &Network,
        cursors: Vec<Option<IpAddr>>,
    ) -> Result<(), CodecError> {
        self.record(RecordV1::Network {
            id: network.id,
            meta: network.meta,
            spec_json: to_json(&network.spec)?,
            subnets: network.subnets.clone(),
            cursors,
        })
    }

    fn attachment(&mut self, attachment: &Attachment) -> Result<(), CodecError> {
        self.record(RecordV1::Attachment {
            id: attachment.id,
            meta: attachment.meta,
            network: attachment.network,
            node: attachment.node,
            addrs: attachment.addrs.clone(),
        })
    }

    fn file(&mut self, file: &FileObject) -> Result<(), CodecError> {
        self.record(RecordV1::File {
            id: file.id,
            kind: file.kind,
            meta: file.meta,
            spec_json: to_json(&file.spec)?,
            data: file.spec.content.data.bytes().to_vec(),
        })
    }

    fn task(&mut self, task: &Task) -> Result<(), CodecError> {
        self.spec(task.service, task.spec_version, &task.spec)?;
        self.record(RecordV1::Task {
            id: task.id,
            meta: task.meta,
            service: task.service,
            slot: task.slot.number(),
            spec_version: task.spec_version,
            node: task.node,
            desired: task.desired,
            status: task.status.clone(),
            not_before: task.not_before,
            failures: task.failures,
        })?;
        if let SlotId::Node(node) = task.slot {
            let task = task.id;
            self.record(RecordV1::NodeSlot { task, node })?;
        }
        if let Some(iteration) = task.job_iteration {
            let task = task.id;
            self.record(RecordV1::JobTask { task, iteration })?;
        }
        if !task.generic.is_empty() {
            self.record(RecordV1::Generic {
                task: task.id,
                generic: task.generic.clone(),
            })?;
        }
        if task.addresses.is_empty() {
            return Ok(());
        }
        self.record(RecordV1::Addresses {
            task: task.id,
            addresses: task.addresses.clone(),
        })
    }
}

/// Its endpoint is what its spec says, and needs no record of its own.
fn is_plain(service: &Service) -> bool {
    service.endpoint.ports == service.spec.ports() && !service.spec.is_on_networks()
}

/// Along the spec's ports, of which the endpoint's are some, in their order.
fn published(spec: &ServiceSpec, endpoint: &Endpoint) -> Vec<Option<u16>> {
    let mut settled = endpoint.ports.iter().peekable();
    let published = |port: &PortSpec| {
        let is_it = |settled: &&PortSpec| port.with_published(settled.published) == **settled;
        settled.next_if(is_it).map(|settled| settled.published)
    };
    spec.ports().iter().map(published).collect()
}
