//! Network namespaces for tests that ask the kernel itself. They need root.

/// Runs a test on a thread in a network namespace of its own.
pub fn in_new_network(test: impl FnOnce() + Send + 'static) {
    let run = || {
        enter_new_network();
        test();
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Gives this thread a network namespace, which ends with it.
pub fn enter_new_network() {
    #[expect(
        deprecated,
        reason = "the new one is unsafe for the sake of file descriptors"
    )]
    let entered = rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET);
    entered.expect("network namespaces need root: run as root");
}
