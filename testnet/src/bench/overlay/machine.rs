//! What this machine had to do meanwhile, which is part of every figure.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use stopwatch::time_of;

/// Time that all cores together have been busy since the machine started, in
/// programs and in the kernel, interrupts included.
pub fn busy() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let ticks = busy_ticks(&stat).context("no CPU in /proc/stat")?;
    Ok(time_of(ticks))
}

/// The load averages, as `uptime` tells them.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let averages: Vec<&str> = text.split(' ').take(3).collect();
    averages.join(" ")
}

/// user, nice, system, irq, softirq and steal of proc_stat(5): all but idling.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
        return None;
    };
    Some(user + nice + system + irq + softirq + steal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_work() {
        let stat = "cpu  1 2 4 1000 1000 8 16 32 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\n";
        assert_eq!(busy_ticks(stat), Some(63));
        assert_eq!(busy_ticks("intr 5\n"), None);
    }
}
