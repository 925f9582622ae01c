//! What branches of `select!` wait for.

use std::future::pending;

/// Waits for what may not be there: then for ever.
pub async fn or_never<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
