//! PID 1 of a host: it builds the host around itself, then keeps its services.
//!
//! The launcher has put this process into new network, PID, mount and UTS
//! namespaces. It first gives the host a disk of its own (`disk`), then opens
//! a control socket (`control`) through which the harness starts and signals
//! the engine and the daemon (`supervisor`), and reaps whatever dies. Power
//! off is its SIGKILL: the kernel then ends everything else in the host.

mod disk;
mod server;
mod supervisor;

use std::path::Path;
use std::sync::Arc;

use crate::error::{Context, Result};
use crate::store;

pub(crate) use disk::{CONTROL_SOCKET, PATH, check_place};

/// Becomes the init of `host` of the testnet in `net_dir`. Does not return
/// unless the host cannot be built; the namespaces then go with this process.
pub fn run(net_dir: &Path, host: &str) -> Result<()> {
    let plan = store::read_plan(net_dir)?;
    let host = plan.host(host)?;
    disk::build(net_dir, &plan, &host)?;
    rustix::system::sethostname(host.name.as_bytes()).context(|| "set the host name".into())?;

    let supervisor = Arc::new(supervisor::Supervisor::new(&plan, &host));
    server::spawn(Path::new(CONTROL_SOCKET), Arc::clone(&supervisor))?;
    supervisor.reap_forever()
}
