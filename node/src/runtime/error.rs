//! Why the engine did not do what it was asked.

/// An engine's refusal, told apart where the agent acts differently. The text
/// is the engine's own, because users know it and search for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// No container was created; a pull may help.
    #[error("{0}")]
    ImageMissing(String),
    /// No container was created: its name belongs to one of somebody else.
    #[error("{0}")]
    NameTaken(String),
    /// The container exists and does not run.
    #[error("{0}")]
    PortTaken(String),
    /// There is no such container (any more). Nothing was changed.
    #[error("{0}")]
    ContainerMissing(String),
    /// The engine is away or does not answer. The call may have taken effect.
    #[error("{0}")]
    Unavailable(String),
    /// There is no such network (any more). Nothing was changed.
    #[error("{0}")]
    NetworkMissing(String),
    /// Containers cannot be connected to networks now. The container, if there
    /// is one, does not run.
    #[error("{0}")]
    Unconnected(String),
    /// The engine refused for another reason. It changed nothing, or for a
    /// start: the container exists and does not run.
    #[error("{0}")]
    Refused(String),
}

impl RuntimeError {
    /// Whether the fault is the engine's or the node's, so that no task is to blame for it.
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Unconnected(_) | Self::NetworkMissing(_)
        )
    }
}
