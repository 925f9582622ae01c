//! What can go wrong between a command and the daemon, and what to do about it.

use std::io;

use super::args::Socket;
use super::values::Invalid;

/// Why a command did not do what was asked. Unless a variant says otherwise,
/// nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The daemon refused.
    #[error("Error response from daemon: {}", plain(message))]
    Daemon { status: u16, message: String },
    /// Nobody listens at the socket.
    #[error("Cannot connect to the swarmlet daemon at {socket}. Is it running?")]
    NoDaemon { socket: Socket, source: io::Error },
    /// The socket is another user's.
    #[error("Permission denied while connecting to the swarmlet daemon at {socket}")]
    Forbidden { socket: Socket },
    /// The connection broke; the request may have been carried out.
    #[error("The connection to the daemon broke: {0}")]
    Broken(String),
    /// The daemon's answer is not what was agreed; the request was carried out.
    #[error("The daemon's answer to {what} makes no sense: {why}")]
    Nonsense { what: String, why: String },
    /// What was typed asks for nothing that can be done.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A file that was named cannot be read.
    #[error("Cannot read {path}: {source}")]
    File { path: String, source: io::Error },
    /// The daemon did not come up.
    #[error("The swarmlet daemon did not start: {0}")]
    Start(String),
    /// The service was changed but does not do well.
    #[error("{0}")]
    NotConverged(String),
    /// Some of it was done, as was said meanwhile; asking again goes on.
    #[error("{0}")]
    Unfinished(String),
    /// What was examined is not as it should be; nothing was to be changed.
    #[error("{0}")]
    Unwell(String),
    /// Standard output is closed.
    #[error("Cannot write the answer: {0}")]
    Output(#[from] io::Error),
    /// Some of several things failed; the others were done.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<CliError>),
}

impl CliError {
    /// The daemon does not know the object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Daemon { status: 404, .. })
    }

    /// What to do next, where that can be said in a line.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoDaemon { .. } => "start it with: swarmlet daemon, or swarmlet init / join",
            Self::Forbidden { .. } => "run the command as root, or as a member of the group docker",
            Self::Daemon { message, .. } => return daemon_hint(message).map(Into::into),
            Self::Several(errors) => return errors.iter().find_map(Self::hint),
            _ => return None,
        };
        Some(hint.into())
    }

    /// `Ok` for no errors, one as it is, several as [`CliError::Several`].
    pub fn all(mut errors: Vec<CliError>) -> Result<(), CliError> {
        match errors.len() {
            0 | 1 => errors.pop().map_or(Ok(()), Err),
            _ => Err(Self::Several(errors)),
        }
    }
}

/// Without what is for another program: the code of a call that there was not, and
/// the advice to form a swarm of Docker's own, where a hint says what to do here.
fn plain(message: &str) -> &str {
    let call = message.strip_prefix("rpc error: code = ");
    let text = call.and_then(|call| Some(call.split_once(" desc = ")?.1));
    let text = text.unwrap_or(message);
    let advice = [" Use \"docker swarm ", " Please use \"docker swarm "];
    let advised = advice.iter().find_map(|it| text.split_once(it));
    match (advised, daemon_hint(text)) {
        (Some((said, _)), Some(_)) => said,
        _ => text,
    }
}

/// The texts are Docker's, which scripts match, so that they cannot say what
/// to do with this program.
fn daemon_hint(message: &str) -> Option<&'static str> {
    let hints = [
        (
            "needs to be unlocked",
            "unlock it with `swarmlet unlock`; without the key, only `swarmlet leave --force` is left",
        ),
        (
            "invalid key provided",
            "it is the key that `swarmlet unlock-key` showed when this manager was last up",
        ),
        (
            "invalid key string",
            "it looks like SWMKEY-1-<43 characters>; was it copied whole?",
        ),
        (
            "to connect this node to swarm and try again",
            "make a swarm with `swarmlet init`, or join one with `swarmlet join --token TOKEN HOST:PORT`",
        ),
        (
            "Worker nodes can't be used",
            "run the command on a manager; `swarmlet info` names them",
        ),
        (
            "does not have a leader",
            "more than half of the managers must be up and reach each other; where they are lost for \
             good, `swarmlet init --force-new-cluster` on one that is left takes the swarm over",
        ),
        (
            "is already part of a swarm",
            "`swarmlet leave` takes it out of that one",
        ),
        (
            "Removing the last manager erases",
            "`swarmlet leave --force` leaves all the same",
        ),
        (
            "participating as a manager",
            "demote it first with `swarmlet node demote`, or use `swarmlet leave --force`",
        ),
        (
            "invalid join token",
            "`swarmlet join-token worker` shows the token on a manager",
        ),
        (
            "update out of sequence",
            "it was changed by somebody else meanwhile; run the command again",
        ),
        (
            "It must be demoted to worker before removal",
            "`swarmlet node demote` does that",
        ),
        (
            "is not down and can't be removed",
            "stop it with `swarmlet leave` there, or use `swarmlet node rm --force`",
        ),
        (
            "does not have a previous spec",
            "there is nothing to go back to until the service was updated",
        ),
    ];
    if let Some((_, hint)) = hints.iter().find(|(text, _)| message.contains(text)) {
        return Some(hint);
    }
    let (kind, name) = message.strip_suffix(" not found")?.split_once(' ')?;
    let is_name = !name.contains(' ');
    match kind {
        "service" if is_name => Some("`swarmlet service ls` lists the services"),
        "node" if is_name => Some("`swarmlet node ls` lists the nodes"),
        "network" if is_name => Some("`swarmlet network ls` lists the networks"),
        "secret" if is_name => Some("`swarmlet secret ls` lists the secrets"),
        "config" if is_name => Some("`swarmlet config ls` lists the configs"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::texts;

    fn refusal(message: &str) -> CliError {
        CliError::Daemon {
            status: 503,
            message: message.into(),
        }
    }

    #[test]
    fn a_refusal_is_shown_in_the_daemons_words_with_a_way_out() {
        let error = refusal(texts::INACTIVE);
        assert_eq!(
            error.to_string(),
            "Error response from daemon: This node is not a swarm manager."
        );
        assert!(error.hint().unwrap().contains("swarmlet init"));
        assert!(
            refusal("rpc error: code = Unknown desc = update out of sequence")
                .hint()
                .unwrap()
                .contains("run the command again")
        );
        for kind in ["service", "node", "network", "secret", "config"] {
            let hint = refusal(&format!("{kind} web not found")).hint();
            assert!(hint.unwrap().contains(&format!("swarmlet {kind} ls")));
        }
        assert_eq!(refusal("node of web not found").hint(), None);
        assert_eq!(refusal("something else").hint(), None);
    }

    #[test]
    fn what_is_said_to_other_programs_is_left_out() {
        let shown = |message| refusal(message).to_string();
        assert_eq!(
            shown("rpc error: code = AlreadyExists desc = secret a: b already exists"),
            "Error response from daemon: secret a: b already exists"
        );
        assert_eq!(
            shown("Nobody knows. Use \"docker swarm guess\" to guess."),
            "Error response from daemon: Nobody knows. Use \"docker swarm guess\" to guess.",
            "there is no other advice"
        );
    }

    #[test]
    fn leaving_as_the_last_manager_names_the_flag() {
        let error = refusal(
            "You are attempting to leave the swarm on a node that is participating as a manager. \
             Removing the last manager erases all current state of the swarm. Use `--force` to \
             ignore this message. ",
        );
        assert!(error.hint().unwrap().contains("swarmlet leave --force"));
    }

    #[test]
    fn several_failures_are_all_shown() {
        let error = CliError::all(vec![refusal("a"), refusal("b")]).unwrap_err();
        insta::assert_snapshot!(error, @r"
        Error response from daemon: a
        Error response from daemon: b
        ");
        assert!(CliError::all(Vec::new()).is_ok());
        assert!(matches!(
            CliError::all(vec![refusal("a")]),
            Err(CliError::Daemon { .. })
        ));
    }
}
