//! A swarm that has nothing to do: the benchmark of it, held to what does not
//! depend on how busy the machine is.

use anyhow::Result;

use crate::bench::Idle;
use crate::runner::Context;

/// A minute with 60 tasks on three managers and a worker.
pub fn an_idle_swarm_writes_nothing(context: &Context) -> Result<()> {
    let net = context.up(&context.options(Idle::HOSTS))?;
    Idle::minute_without_a_write().run(&net)
}
