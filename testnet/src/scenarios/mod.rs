//! What must be true of real hosts, one function per claim.
//!
//! A scenario raises the hosts it needs through its [`Context`], does to them
//! what the field does, and waits for conditions, never for times. To add one,
//! write a function in a file here and name it in [`ALL`].

mod hosts;

use anyhow::Result;

use crate::runner::Context;

/// One claim about real hosts.
#[derive(Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(&Context) -> Result<()>,
}

/// Every scenario, in the order in which they run: what the others rely on first.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "hosts_have_cables_power_disks_and_engines",
        run: hosts::hosts_have_cables_power_disks_and_engines,
    },
    Scenario {
        name: "services_die_and_start_only_when_told",
        run: hosts::services_die_and_start_only_when_told,
    },
    Scenario {
        name: "testnets_live_side_by_side",
        run: hosts::testnets_live_side_by_side,
    },
    Scenario {
        name: "an_interrupted_up_leaves_nothing_after_down",
        run: hosts::an_interrupted_up_leaves_nothing_after_down,
    },
];
