//! What a task's user wrote of name servers.

use overlay::dns::resolv::Wanted;
use services::Assignment;

/// What is no address is passed over, as in a `resolv.conf`.
pub fn wanted(assignment: &Assignment) -> Wanted {
    let dns = &assignment.spec.task.container.dns;
    let dns = dns.clone().unwrap_or_default();
    let servers = dns.nameservers.iter();
    Wanted {
        servers: servers.filter_map(|server| server.parse().ok()).collect(),
        search: dns.search,
        options: dns.options,
    }
}
