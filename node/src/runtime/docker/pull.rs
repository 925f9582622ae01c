//! Fetching images. Twenty tasks of one service that arrive together want one
//! transfer, not twenty, and registries count requests.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use services::registry::RegistryAuth;
use services::spec::Platform;

use super::transfer::transfer;
use crate::runtime::Result;

type Transfer = Shared<BoxFuture<'static, Result<()>>>;

/// An image, and who wants it: what others may is not for whoever may less.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub image: String,
    /// `None`: the engine's own.
    pub platform: Option<Platform>,
    pub auth: Option<RegistryAuth>,
}

/// The transfers under way. At most one per assigned task.
#[derive(Debug, Default, Clone)]
pub(super) struct Pulls(Arc<Mutex<HashMap<Wanted, Transfer>>>);

impl Pulls {
    /// Joins the image's transfer or begins one. It goes on while anybody waits.
    pub(super) async fn pull(&self, wanted: &Wanted, socket: PathBuf) -> Result<()> {
        self.share(wanted, || transfer(wanted.clone(), socket).boxed())
            .await
    }

    async fn share(
        &self,
        wanted: &Wanted,
        begin: impl FnOnce() -> BoxFuture<'static, Result<()>>,
    ) -> Result<()> {
        let transfer = {
            let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            running
                .entry(wanted.clone())
                .or_insert_with(|| begin().shared())
                .clone()
        };
        let waiting = Waiting {
            pulls: self,
            wanted,
            transfer: &transfer,
        };
        waiting.transfer.clone().await
    }
}

/// Forgets a transfer that has ended, or whose last waiter goes.
struct Waiting<'a> {
    pulls: &'a Pulls,
    wanted: &'a Wanted,
    transfer: &'a Transfer,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut running = self.pulls.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = running
            .get(self.wanted)
            .is_some_and(|transfer| transfer.ptr_eq(self.transfer));
        // Two handles are left: the table's and this waiter's.
        let last = self.transfer.strong_count().is_none_or(|count| count <= 2);
        if ours && (last || self.transfer.peek().is_some()) {
            running.remove(self.wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;
    use crate::runtime::RuntimeError;

    fn image(name: &str) -> Wanted {
        Wanted {
            image: name.into(),
            platform: None,
            auth: None,
        }
    }

    #[tokio::test]
    async fn calls_for_one_image_share_one_transfer() {
        let pulls = Pulls::default();
        let begun = AtomicUsize::new(0);
        let (finish, finished) = oneshot::channel::<()>();
        let mut finished = Some(finished);
        let mut begin = || {
            begun.fetch_add(1, Ordering::SeqCst);
            let finished = finished.take();
            async move {
                if let Some(finished) = finished {
                    finished.await.ok();
                }
                Err(RuntimeError::Refused("no route".into()))
            }
            .boxed()
        };
        let a = image("a");
        let first = pulls.share(&a, &mut begin);
        let mut first = Box::pin(first);
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(pulls.share(&a, || panic!("a second transfer")));
        assert!((&mut second).now_or_never().is_none());
        finish.send(()).unwrap();
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first, Err(RuntimeError::Refused("no route".into())));
        assert_eq!(second, first);
        assert!(pulls.0.lock().unwrap().is_empty());
        pulls.share(&a, &mut begin).await.unwrap_err();
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_abandoned_transfer_is_begun_again() {
        let pulls = Pulls::default();
        let a = image("a");
        let mut abandoned = Box::pin(pulls.share(&a, || std::future::pending().boxed()));
        assert!((&mut abandoned).now_or_never().is_none());
        drop(abandoned);
        let again = pulls.share(&a, || std::future::ready(Ok(())).boxed());
        assert_eq!(again.await, Ok(()));
    }

    #[tokio::test]
    async fn who_shows_other_credentials_has_a_transfer_of_its_own() {
        let pulls = Pulls::default();
        let refused = || std::future::ready(Err(RuntimeError::Refused("denied".into()))).boxed();
        let (a, mut known) = (image("a"), image("a"));
        known.auth = Some(RegistryAuth {
            username: "u".into(),
            ..RegistryAuth::default()
        });
        let pending = || std::future::pending().boxed();
        let mut first = Box::pin(pulls.share(&known, pending));
        assert!((&mut first).now_or_never().is_none());
        assert!(pulls.share(&a, refused).await.is_err());
    }
}
