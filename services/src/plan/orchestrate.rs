//! Each service has the slots that its mode asks for.

use super::draft::Draft;
use super::{jobs, per_node, replicas};
use crate::spec::{Mode, defaults};

pub(super) fn fill(draft: &mut Draft) {
    for service in draft.services() {
        match service.spec.mode {
            Mode::Replicated { replicas } => {
                let wanted = replicas.unwrap_or(defaults::REPLICAS);
                replicas::scale(draft, &service, wanted);
            }
            Mode::Global => per_node::follow_nodes(draft, &service),
            Mode::ReplicatedJob {
                max_concurrent,
                total_completions,
            } => {
                jobs::end_earlier_runs(draft, &service);
                jobs::go_on(draft, &service, max_concurrent, total_completions);
            }
            Mode::GlobalJob => {
                jobs::end_earlier_runs(draft, &service);
                per_node::follow_nodes(draft, &service);
            }
        }
    }
}
