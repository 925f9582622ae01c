//! One step of one task: the only place where the agent asks something of the
//! engine. A step has no retries of its own; it tells how it went.

use std::sync::Arc;
use std::time::Duration;

use services::assignment::AssignedNetwork;
use services::expand::{Place, expand, is_templated};
use services::{Assignment, Id};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::files::TaskFiles;
use super::links::Links;
use crate::runtime::{self, Container, FileMount, Runtime, RuntimeError};

/// What steps are taken with.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub runtime: Arc<dyn Runtime>,
    pub links: Arc<dyn Links>,
    pub files: TaskFiles,
    /// This one.
    pub node: Id,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Have the image, create the container.
    Prepare(Assignment),
    Start(String, Assignment),
    /// `None` is the grace that the container was created with.
    Stop(String, Option<Duration>),
    Remove(String),
    Inspect(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    /// Prepared: the container's id.
    Created(String),
    /// Preparing was given up as nobody wants it any more; nothing was made.
    Cancelled,
    /// Started, stopped or just inspected: what is there now.
    Seen(Option<Container>),
    Removed,
    Failed(RuntimeError),
}

pub(super) async fn perform(tools: &Tools, step: Step, cancel: &CancellationToken) -> Done {
    let runtime = &*tools.runtime;
    match step {
        Step::Prepare(assignment) => match connectable(&*tools.links, &assignment.networks) {
            Ok(()) => prepare(tools, assignment, cancel).await,
            Err(error) => Done::Failed(error),
        },
        Step::Start(container, assignment) => match start(tools, &container, assignment).await {
            Ok(()) => inspect(tools, &container).await,
            Err(error) => Done::Failed(error),
        },
        Step::Stop(container, grace) => match runtime.stop(&container, grace).await {
            Ok(()) | Err(RuntimeError::ContainerMissing(_)) => inspect(tools, &container).await,
            Err(error) => Done::Failed(error),
        },
        Step::Remove(container) => match runtime.remove(&container).await {
            Ok(()) => Done::Removed,
            Err(error) => Done::Failed(error),
        },
        Step::Inspect(container) => inspect(tools, &container).await,
    }
}

/// The engine itself would wait for the overlay for long.
fn connectable(links: &dyn Links, networks: &[AssignedNetwork]) -> runtime::Result<()> {
    let fault = networks.iter().find_map(|network| links.fault(network));
    fault.map_or(Ok(()), |fault| Err(RuntimeError::Unconnected(fault)))
}

async fn start(tools: &Tools, container: &str, assignment: Assignment) -> runtime::Result<()> {
    connectable(&*tools.links, &assignment.networks)?;
    let (assignment, _) = equip(tools, assignment).await?;
    tools.runtime.start(container, &assignment.networks).await
}

/// Fills in the placeholders of the task, and makes the files that it has.
async fn equip(
    tools: &Tools,
    assignment: Assignment,
) -> runtime::Result<(Assignment, Vec<FileMount>)> {
    let place = match is_templated(&assignment) {
        true => Some(place_of(tools).await?),
        false => None,
    };
    let files = tools.files.clone();
    let equipped = move || -> runtime::Result<_> {
        let assignment = match place {
            Some(place) => expand(&assignment, &place).map_err(refused)?,
            None => assignment,
        };
        let placed = files.place(&assignment).map_err(refused)?;
        Ok((assignment, placed))
    };
    spawn_blocking(equipped).await.map_err(refused)?
}

async fn place_of(tools: &Tools) -> runtime::Result<Place> {
    let described = tools.runtime.describe().await?;
    Ok(Place {
        node: tools.node,
        hostname: described.hostname,
        platform: described.platform,
    })
}

fn refused(error: impl ToString) -> RuntimeError {
    RuntimeError::Refused(error.to_string())
}

async fn inspect(tools: &Tools, container: &str) -> Done {
    match tools.runtime.inspect(container).await {
        Ok(found) => Done::Seen(found.map(|found| with_ports(found, &*tools.links))),
        Err(error) => Done::Failed(error),
    }
}

/// The engine does not know which ports the overlay has picked for it.
fn with_ports(mut container: Container, links: &dyn Links) -> Container {
    let addrs = container.addrs.iter();
    for port in addrs.flat_map(|addr| links.ports_at(*addr)) {
        if !container.ports.contains(&port) {
            container.ports.push(port);
        }
    }
    container
}

/// An image that is present is not pulled: asking for the container is the one
/// test of presence that knows digests, tags and what the engine makes of them.
async fn prepare(tools: &Tools, assignment: Assignment, cancel: &CancellationToken) -> Done {
    let runtime = &*tools.runtime;
    let (assignment, placed) = match equip(tools, assignment).await {
        Ok(equipped) => equipped,
        Err(error) => return Done::Failed(error),
    };
    let create = || runtime.create(&assignment, &placed);
    match create().await {
        Ok(container) => return Done::Created(container),
        Err(RuntimeError::ImageMissing(_)) => {}
        Err(error) => return Done::Failed(error),
    }
    let task = &assignment.spec.task;
    let image = &task.container.image;
    let pulled = tokio::select! {
        pulled = runtime.pull(task) => pulled,
        () = cancel.cancelled() => return Done::Cancelled,
    };
    if let Err(error) = &pulled
        && error.is_unavailable()
    {
        return Done::Failed(error.clone());
    }
    match (create().await, pulled) {
        (Ok(container), Ok(())) => Done::Created(container),
        (Ok(container), Err(error)) => {
            tracing::warn!(%image, %error, "the pull failed, the image is present");
            Done::Created(container)
        }
        (Err(RuntimeError::ImageMissing(text)), Err(reason)) => Done::Failed(
            RuntimeError::ImageMissing(format!("{text} ({})", reason.to_string().trim())),
        ),
        (Err(error), _) => Done::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::path::Path;

    use services::object::PublishedPort;
    use services::registry::RegistryAuth;
    use services::spec::Protocol;

    use super::*;
    use crate::runtime::Phase;
    use crate::runtime::fake::{Call, FakeRuntime, Kind};
    use crate::worker::links::fake::FakeLinks;
    use crate::worker::testing;

    const TASK: Id = Id::from_u128(1);

    fn wants(image: &str) -> Step {
        let mut spec = services::spec::ServiceSpec::default();
        spec.task.container.image = image.to_owned();
        Step::Prepare(testing::assignment(TASK, spec))
    }

    fn tools(runtime: &FakeRuntime) -> Tools {
        Tools {
            runtime: Arc::new(runtime.clone()),
            links: Arc::new(FakeLinks::default()),
            files: TaskFiles::of(Path::new("/nowhere")),
            node: Id::from_u128(7),
        }
    }

    async fn run(runtime: &FakeRuntime, step: Step) -> Done {
        perform(&tools(runtime), step, &CancellationToken::new()).await
    }

    #[test]
    fn ports_that_the_overlay_picked_are_told_once() {
        let port = |published| PublishedPort {
            protocol: Protocol::Tcp,
            target: 80,
            published,
            host_ip: None,
        };
        let links = FakeLinks::default();
        let addrs = [[10, 0, 5, 3], [10, 0, 6, 3], [10, 0, 7, 3]].map(IpAddr::from);
        for (addr, published) in addrs.into_iter().zip([8080, 40_000]) {
            links.open(addr, port(published));
        }
        let container = Container {
            id: "c".into(),
            phase: Phase::Created,
            pid: 0,
            started: None,
            ports: vec![port(8080)],
            addrs: addrs.into(),
        };
        let told = with_ports(container, &links);
        assert_eq!(told.ports, [port(8080), port(40_000)]);
    }

    #[tokio::test]
    async fn an_image_that_is_present_is_not_pulled() {
        let runtime = FakeRuntime::default();
        runtime.add_image("a:1");
        assert!(matches!(
            run(&runtime, wants("a:1")).await,
            Done::Created(_)
        ));
        assert_eq!(runtime.calls(), [Call::Create(TASK)]);
    }

    #[tokio::test]
    async fn an_image_that_is_absent_is_pulled() {
        let runtime = FakeRuntime::default();
        runtime.publish_image("a:1");
        assert!(matches!(
            run(&runtime, wants("a:1")).await,
            Done::Created(_)
        ));
        assert_eq!(
            runtime.calls(),
            [
                Call::Create(TASK),
                Call::Pull("a:1".into()),
                Call::Create(TASK)
            ]
        );
    }

    #[tokio::test]
    async fn an_image_that_is_nowhere_says_so_and_why() {
        assert_eq!(
            run(&FakeRuntime::default(), wants("nope:latest")).await,
            Done::Failed(RuntimeError::ImageMissing(
                "No such image: nope:latest (pull access denied for nope:latest)".into()
            ))
        );
    }

    #[tokio::test]
    async fn a_pull_shows_the_credentials_of_its_service() {
        let runtime = FakeRuntime::default();
        let auth = RegistryAuth {
            username: "u".into(),
            ..RegistryAuth::default()
        };
        runtime.publish_image_for("a:1", &auth);
        assert!(matches!(run(&runtime, wants("a:1")).await, Done::Failed(_)));
        let Step::Prepare(mut assignment) = wants("a:1") else {
            unreachable!("it is to be prepared");
        };
        Arc::make_mut(&mut assignment.spec).task.registry_auth = Some(auth);
        let done = run(&runtime, Step::Prepare(assignment)).await;
        assert!(matches!(done, Done::Created(_)), "{done:?}");
    }

    #[tokio::test]
    async fn a_failed_pull_of_an_image_that_came_otherwise_is_no_failure() {
        let runtime = FakeRuntime::default();
        runtime.hold(Kind::Pull);
        let (done, ()) = tokio::join!(run(&runtime, wants("a:1")), async {
            runtime.called(&Call::Pull("a:1".into())).await;
            runtime.add_image("a:1");
            runtime.release(Kind::Pull);
        });
        assert!(matches!(done, Done::Created(_)));
    }

    #[tokio::test]
    async fn a_pull_that_nobody_waits_for_is_given_up() {
        let runtime = FakeRuntime::default();
        runtime.hold(Kind::Pull);
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert_eq!(
            perform(&tools(&runtime), wants("a:1"), &cancel).await,
            Done::Cancelled
        );
    }

    #[tokio::test]
    async fn an_engine_that_goes_away_is_not_the_images_fault() {
        let runtime = FakeRuntime::default();
        let unavailable = RuntimeError::Unavailable("gone".into());
        runtime.refuse(Kind::Pull, unavailable.clone());
        assert_eq!(run(&runtime, wants("a:1")).await, Done::Failed(unavailable));
    }
}
