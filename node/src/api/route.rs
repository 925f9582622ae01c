//! Which request is whose: the table of routes.
//!
//! A path may start with an API version (`/v1.41/services`). What is not in
//! this table belongs to the local engine.

use axum::http::Method;
use services::file::FileKind;

use super::error::ApiError;

/// The oldest API version whose shapes this is.
pub const MIN_VERSION: ApiVersion = ApiVersion(1, 24);
/// The newest API version whose swarm half this is.
pub const MAX_VERSION: ApiVersion = ApiVersion(1, 51);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u16, pub u16);

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl ApiVersion {
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }

    /// # Errors
    /// 400 when a client speaks a version beyond `newest`, what this node
    /// advertises, or one too old.
    pub fn check(self, newest: Self) -> Result<(), ApiError> {
        if self > newest {
            Err(ApiError::bad_request(format!(
                "client version {self} is too new. Maximum supported API version is {newest}"
            )))
        } else if self < MIN_VERSION {
            Err(ApiError::bad_request(format!(
                "client version {self} is too old. Minimum supported API version is \
                 {MIN_VERSION}, please upgrade your client to a newer version"
            )))
        } else {
            Ok(())
        }
    }
}

/// What a request asks for; `&str`s are ids, names or id prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    Ping,
    Version,
    Info,
    Init,
    Join,
    Leave,
    Unlock,
    /// What happens, to the engine's objects and to the swarm's.
    Events,
    /// All containers of the engine, or one.
    Containers,
    /// Who this node believes to be here.
    Members,
    Up,
    UpProgress,
    Discover,
    Swarm(SwarmRoute<'a>),
    /// A path of the swarm half that does not exist.
    Unknown,
    /// Everything else: passed through to the local engine.
    Engine,
}

/// The routes that the leader answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwarmRoute<'a> {
    Inspect,
    Update,
    UnlockKey,
    NodeList,
    Node(&'a str),
    NodeUpdate(&'a str),
    NodeRemove(&'a str),
    ServiceList,
    ServiceCreate,
    Service(&'a str),
    ServiceUpdate(&'a str),
    ServiceRemove(&'a str),
    ServiceLogs(&'a str),
    TaskList,
    Task(&'a str),
    TaskLogs(&'a str),
    /// The swarm's networks; a node merges them with its engine's.
    Network(NetworkRoute<'a>),
    /// Secrets and configs.
    FileList(FileKind),
    FileCreate(FileKind),
    File(FileKind, &'a str),
    FileUpdate(FileKind, &'a str),
    /// Whether something else is in it; not Docker's.
    FileCompare(FileKind, &'a str),
    FileRemove(FileKind, &'a str),
    /// How the devices reach each other; a node that finds no leader tells what
    /// it sees itself.
    Doctor,
    /// What happened lately.
    Events,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkRoute<'a> {
    List,
    Create,
    Prune,
    Inspect(&'a str),
    Remove(&'a str),
}

/// The route of a request, and the API version that its path names.
pub fn route<'a>(method: &Method, path: &'a str) -> (Route<'a>, Option<ApiVersion>) {
    let (version, rest) = split_version(path);
    let rest = rest.trim_matches('/');
    let mut parts = rest.splitn(4, '/');
    let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
    (of_parts(method, parts), version)
}

fn split_version(path: &str) -> (Option<ApiVersion>, &str) {
    let split = || {
        let rest = path.strip_prefix("/v")?;
        let (version, rest) = rest.split_once('/')?;
        Some((ApiVersion::parse(version)?, rest))
    };
    match split() {
        Some((version, rest)) => (Some(version), rest),
        None => (None, path),
    }
}

fn of_parts<'a>(method: &Method, parts: [Option<&'a str>; 4]) -> Route<'a> {
    use SwarmRoute as Swarm;
    let [first, second, third, fourth] = parts;
    if fourth.is_some() {
        return of_unknown(first);
    }
    let (get, post, delete) = (
        method == Method::GET,
        method == Method::POST,
        method == Method::DELETE,
    );
    let swarm = match (first.unwrap_or_default(), second, third) {
        ("_ping", None, None) if get || method == Method::HEAD => return Route::Ping,
        ("version", None, None) if get => return Route::Version,
        ("info", None, None) if get => return Route::Info,
        ("events", None, None) if get => return Route::Events,
        ("containers", Some("json"), None) if get => return Route::Containers,
        ("containers", Some(_), Some("json")) if get => return Route::Containers,
        ("swarm", Some("init"), None) if post => return Route::Init,
        ("swarm", Some("join"), None) if post => return Route::Join,
        ("swarm", Some("leave"), None) if post => return Route::Leave,
        ("swarm", Some("unlock"), None) if post => return Route::Unlock,
        ("swarmlet", Some("members"), None) if get => return Route::Members,
        ("swarmlet", Some("up"), None) if post => return Route::Up,
        ("swarmlet", Some("up"), None) if get => return Route::UpProgress,
        ("swarmlet", Some("discover"), None) if get => return Route::Discover,
        ("swarmlet", Some("doctor"), None) if get => Swarm::Doctor,
        ("swarmlet", Some("events"), None) if get => Swarm::Events,
        ("swarm", None, None) if get => Swarm::Inspect,
        ("swarm", Some("update"), None) if post => Swarm::Update,
        ("swarm", Some("unlockkey"), None) if get => Swarm::UnlockKey,
        ("nodes", None, None) if get => Swarm::NodeList,
        ("nodes", Some(id), None) if get => Swarm::Node(id),
        ("nodes", Some(id), None) if delete => Swarm::NodeRemove(id),
        ("nodes", Some(id), Some("update")) if post => Swarm::NodeUpdate(id),
        ("services", None, None) if get => Swarm::ServiceList,
        ("services", Some("create"), None) if post => Swarm::ServiceCreate,
        ("services", Some(id), None) if get => Swarm::Service(id),
        ("services", Some(id), None) if delete => Swarm::ServiceRemove(id),
        ("services", Some(id), Some("update")) if post => Swarm::ServiceUpdate(id),
        ("services", Some(id), Some("logs")) if get => Swarm::ServiceLogs(id),
        ("tasks", None, None) if get => Swarm::TaskList,
        ("tasks", Some(id), None) if get => Swarm::Task(id),
        ("tasks", Some(id), Some("logs")) if get => Swarm::TaskLogs(id),
        ("networks", None, None) if get => Swarm::Network(NetworkRoute::List),
        ("networks", Some("create"), None) if post => Swarm::Network(NetworkRoute::Create),
        ("networks", Some("prune"), None) if post => Swarm::Network(NetworkRoute::Prune),
        ("networks", Some(id), None) if get => Swarm::Network(NetworkRoute::Inspect(id)),
        ("networks", Some(id), None) if delete => Swarm::Network(NetworkRoute::Remove(id)),
        ("secrets", second, third) => return of_file(method, FileKind::Secret, second, third),
        ("configs", second, third) => return of_file(method, FileKind::Config, second, third),
        _ => return of_unknown(first),
    };
    Route::Swarm(swarm)
}

fn of_file<'a>(
    method: &Method,
    kind: FileKind,
    second: Option<&'a str>,
    third: Option<&'a str>,
) -> Route<'a> {
    use SwarmRoute as Swarm;
    let swarm = match (method.as_str(), second, third) {
        ("GET", None, None) => Swarm::FileList(kind),
        ("POST", Some("create"), None) => Swarm::FileCreate(kind),
        ("GET", Some(id), None) => Swarm::File(kind, id),
        ("DELETE", Some(id), None) => Swarm::FileRemove(kind, id),
        ("POST", Some(id), Some("update")) => Swarm::FileUpdate(kind, id),
        ("POST", Some(id), Some("compare")) => Swarm::FileCompare(kind, id),
        _ => return Route::Unknown,
    };
    Route::Swarm(swarm)
}

fn of_unknown(first: Option<&str>) -> Route<'static> {
    match first {
        Some("swarm" | "swarmlet" | "nodes" | "services" | "tasks" | "secrets" | "configs") => {
            Route::Unknown
        }
        _ => Route::Engine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: Method, path: &str) -> Route<'_> {
        route(&method, path).0
    }

    #[test]
    fn a_path_means_the_same_with_and_without_a_version() {
        for path in ["/services/web/update", "/v1.41/services/web/update"] {
            assert_eq!(
                of(Method::POST, path),
                Route::Swarm(SwarmRoute::ServiceUpdate("web"))
            );
        }
        assert_eq!(
            route(&Method::HEAD, "/v1.41/_ping").1,
            Some(ApiVersion(1, 41))
        );
    }

    #[test]
    fn what_is_not_swarms_is_the_engines() {
        for path in ["/containers/x/logs", "/containers/x", "/", "/volumes"] {
            assert_eq!(of(Method::GET, path), Route::Engine, "{path}");
        }
        for path in ["/v1.41/containers/json", "/containers/json/json"] {
            assert_eq!(of(Method::GET, path), Route::Containers, "{path}");
            assert_eq!(of(Method::POST, path), Route::Engine, "{path}");
        }
        assert_eq!(of(Method::POST, "/v1.41/info"), Route::Engine);
        assert_eq!(of(Method::POST, "/networks/n/connect"), Route::Engine);
    }

    #[test]
    fn an_unknown_path_of_the_swarm_half_does_not_reach_the_engine() {
        for path in ["/swarm/foo", "/v1.41/nodes/x/y/z", "/services/a/b"] {
            assert_eq!(of(Method::GET, path), Route::Unknown, "{path}");
        }
    }

    #[test]
    fn what_only_this_node_can_do_is_not_forwarded() {
        for path in ["/swarm/init", "/swarm/join", "/swarm/leave"] {
            let route = of(Method::POST, path);
            assert!(!matches!(route, Route::Swarm(_)), "{path}");
        }
        let route = of(Method::POST, "/v1.41/swarm/update");
        assert_eq!(route, Route::Swarm(SwarmRoute::Update));
        assert_eq!(of(Method::GET, "/info"), Route::Info);
    }

    #[test]
    fn a_version_beyond_the_advertised_is_refused() {
        let refused = ApiVersion(1, 60).check(ApiVersion(1, 41)).unwrap_err();
        assert_eq!(
            refused.message,
            "client version 1.60 is too new. Maximum supported API version is 1.41"
        );
        assert!(ApiVersion(1, 12).check(ApiVersion(1, 41)).is_err());
        assert!(ApiVersion(1, 41).check(ApiVersion(1, 41)).is_ok());
    }
}
