//! Changes that no plan would make.

use super::*;

pub(super) fn state() -> impl Strategy<Value = TaskState> {
    select(vec![
        TaskState::New,
        TaskState::Pending,
        TaskState::Assigned,
        TaskState::Ready,
        TaskState::Running,
        TaskState::Complete,
        TaskState::Shutdown,
        TaskState::Failed,
        TaskState::Rejected,
        TaskState::Remove,
        TaskState::Orphaned,
    ])
}

#[derive(Debug, Clone)]
pub(super) struct RandomChange {
    at: Index,
    other: Index,
    state: TaskState,
    kind: u8,
    slot: u64,
}

pub(super) fn change() -> impl Strategy<Value = RandomChange> {
    let parts = (any::<Index>(), any::<Index>(), state(), 0..7_u8, 0..4_u64);
    parts.prop_map(|(at, other, state, kind, slot)| RandomChange {
        at,
        other,
        state,
        kind,
        slot,
    })
}

pub(super) fn make_change(world: &mut World, random: &RandomChange) -> Change {
    let &RandomChange {
        at,
        other,
        state,
        kind,
        slot,
    } = random;
    let tasks: Vec<Id> = world.state.tasks().map(|task| task.id).collect();
    let id = tasks
        .get(at.index(tasks.len().max(1)))
        .copied()
        .unwrap_or_default();
    let service = service_at(world, other).unwrap_or_default();
    let known = world.service(service).clone();
    match kind {
        2 => Change::CreateTaskOnNode {
            id: world.next_id(),
            service,
            spec_version: known.spec_version,
            node: node_at(world, at).map(|(node, _)| node).unwrap_or_default(),
            desired: state,
            not_before: world.now + SECOND * slot as u32,
            failures: u32::from(kind),
        },
        0..=1 => Change::CreateTask {
            id: world.next_id(),
            service,
            spec_version: known.spec_version,
            slot,
            desired: state,
            not_before: world.now + SECOND * slot as u32,
            failures: u32::from(kind),
        },
        3 => Change::AssignTask {
            id,
            node: node_at(world, other)
                .map(|(node, _)| node)
                .unwrap_or_default(),
        },
        4 => Change::SetDesired { id, desired: state },
        5 => Change::SetStatus {
            id,
            status: TaskStatus::at(state, world.now, "random"),
        },
        _ => {
            world.report(id, state);
            if let Some((node, _)) = node_at(world, other) {
                world.set_health(node, NodeHealth::Ready);
            }
            Change::DeleteTask { id: Id::default() }
        }
    }
}
