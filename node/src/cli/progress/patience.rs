//! Looking again until it is enough.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cli::error::CliError;

const PAUSE: Duration = Duration::from_millis(200);
/// How long managers may be unable to answer: well above an election.
const PATIENCE: Duration = Duration::from_secs(15);

/// Looks until there is something to say.
pub async fn patiently<T>(
    mut look: impl AsyncFnMut() -> Result<Option<T>, CliError>,
) -> Result<T, CliError> {
    let mut answered = Instant::now();
    loop {
        match look().await {
            Ok(Some(said)) => return Ok(said),
            Ok(None) => answered = Instant::now(),
            Err(error) if is_passing(&error) && answered.elapsed() < PATIENCE => {}
            Err(error) => return Err(error),
        }
        sleep(PAUSE).await;
    }
}

/// Managers that are electing a leader answer again soon.
fn is_passing(error: &CliError) -> bool {
    match error {
        CliError::Daemon { status, .. } => *status >= 500,
        CliError::Broken(_) | CliError::NoDaemon { .. } => true,
        _ => false,
    }
}

/// `None` where the user would not wait any longer.
pub async fn unless_interrupted<T>(wait: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        ended = wait => Some(ended),
        _ = tokio::signal::ctrl_c() => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken<T>() -> Result<T, CliError> {
        Err(CliError::Broken("reset".into()))
    }

    #[tokio::test]
    async fn managers_that_elect_a_leader_are_waited_for() {
        let mut answers = [broken(), Ok(Some("done"))].into_iter();
        let said = patiently(async || answers.next().unwrap()).await;
        assert_eq!(said.unwrap(), "done");
    }

    #[tokio::test]
    async fn a_refusal_is_an_end() {
        let refused = || CliError::Daemon {
            status: 404,
            message: String::new(),
        };
        let said = patiently(async || Err::<Option<()>, _>(refused())).await;
        assert!(said.unwrap_err().is_not_found());
    }
}
