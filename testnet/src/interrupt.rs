//! Ctrl-C while hosts are up: they are taken down before the program ends.
//!
//! The hosts' processes are in groups of their own, so the terminal's signal
//! reaches only us and the command that we wait for. That command's failure
//! then races with the tidying here; [`Guard::finish`] lets the tidying win.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use swarmlet_testnet::Testnet;
use tokio::signal::unix::{SignalKind, signal};

/// What a shell reports for a program ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// Watches for Ctrl-C and SIGTERM until the program ends.
#[derive(Debug)]
pub struct Guard {
    interrupted: Arc<AtomicBool>,
}

impl Guard {
    /// From here on, an interrupt takes down the testnet `name` and exits.
    pub fn of_testnet(name: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .context("watch for Ctrl-C")?;
        let interrupted = Arc::new(AtomicBool::new(false));
        let (flag, name) = (interrupted.clone(), name.to_owned());
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            let watch = |kind| signal(kind).context("watch for Ctrl-C");
            (
                watch(SignalKind::interrupt())?,
                watch(SignalKind::terminate())?,
            )
        };
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            flag.store(true, Ordering::SeqCst);
            eprintln!("\ninterrupted: taking the hosts of `{name}` down");
            if let Err(e) = Testnet::down(&name) {
                eprintln!("testnet {name}: {e}");
            }
            process::exit(INTERRUPTED);
        });
        Ok(Self { interrupted })
    }

    /// The result of the work, or no return at all when it was interrupted.
    pub fn finish<T>(&self, result: Result<T>) -> Result<T> {
        while self.interrupted.load(Ordering::SeqCst) {
            thread::park();
        }
        result
    }
}
