//! Fetching images. Twenty tasks of one service that arrive together want one
//! transfer, not twenty, and registries count requests.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::CreateImageOptions;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt};

use super::error;
use crate::runtime::{Result, RuntimeError};

/// A transfer that makes no progress for so long is given up. There is no limit
/// on the whole: a large image over a thin link may take hours.
const STALLED: Duration = Duration::from_secs(300);

type Transfer = Shared<BoxFuture<'static, Result<()>>>;

/// The transfers under way, by image. At most one per assigned task.
#[derive(Debug, Default, Clone)]
pub(super) struct Pulls(Arc<Mutex<HashMap<String, Transfer>>>);

impl Pulls {
    /// Joins the image's transfer or begins one. It goes on while anybody waits.
    pub(super) async fn pull(&self, client: Docker, image: &str, socket: PathBuf) -> Result<()> {
        self.share(image, || transfer(client, image.to_owned(), socket).boxed())
            .await
    }

    async fn share(
        &self,
        image: &str,
        begin: impl FnOnce() -> BoxFuture<'static, Result<()>>,
    ) -> Result<()> {
        let transfer = {
            let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            running
                .entry(image.to_owned())
                .or_insert_with(|| begin().shared())
                .clone()
        };
        let waiting = Waiting {
            pulls: self,
            image,
            transfer: &transfer,
        };
        waiting.transfer.clone().await
    }
}

/// Forgets a transfer that has ended, or whose last waiter goes.
struct Waiting<'a> {
    pulls: &'a Pulls,
    image: &'a str,
    transfer: &'a Transfer,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut running = self.pulls.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = running
            .get(self.image)
            .is_some_and(|transfer| transfer.ptr_eq(self.transfer));
        // Two handles are left: the table's and this waiter's.
        let last = self.transfer.strong_count().is_none_or(|count| count <= 2);
        if ours && (last || self.transfer.peek().is_some()) {
            running.remove(self.image);
        }
    }
}

async fn transfer(client: Docker, image: String, socket: PathBuf) -> Result<()> {
    let options = CreateImageOptions {
        tag: default_tag(&image).map(str::to_owned),
        from_image: Some(image),
        ..Default::default()
    };
    let mut progress = client.create_image(Some(options), None, None);
    loop {
        match tokio::time::timeout(STALLED, progress.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => return Err(error::translate(error, &socket)),
            Err(_) => {
                return Err(RuntimeError::Refused(format!(
                    "the transfer made no progress for {STALLED:?}"
                )));
            }
        }
    }
}

/// Without a tag or digest the engine would fetch every tag there is.
fn default_tag(image: &str) -> Option<&'static str> {
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    (!name.contains([':', '@'])).then_some("latest")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn only_a_bare_name_gets_the_default_tag() {
        for bare in ["busybox", "library/busybox", "host:5000/a/b"] {
            assert_eq!(default_tag(bare), Some("latest"), "{bare}");
        }
        for exact in [
            "busybox:1.36",
            "host:5000/a:1",
            "a/b@sha256:0",
            "b:1@sha256:0",
        ] {
            assert_eq!(default_tag(exact), None, "{exact}");
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
        let first = pulls.share("a", &mut begin);
        let mut first = Box::pin(first);
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(pulls.share("a", || panic!("a second transfer")));
        assert!((&mut second).now_or_never().is_none());
        finish.send(()).unwrap();
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first, Err(RuntimeError::Refused("no route".into())));
        assert_eq!(second, first);
        assert!(pulls.0.lock().unwrap().is_empty());
        pulls.share("a", &mut begin).await.unwrap_err();
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_abandoned_transfer_is_begun_again() {
        let pulls = Pulls::default();
        let mut abandoned = Box::pin(pulls.share("a", || std::future::pending().boxed()));
        assert!((&mut abandoned).now_or_never().is_none());
        drop(abandoned);
        let again = pulls.share("a", || std::future::ready(Ok(())).boxed());
        assert_eq!(again.await, Ok(()));
    }
}
