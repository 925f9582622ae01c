//! Switches of the kernel that our interfaces need.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::netlink::Links;
use super::{Error, Result};
use crate::names::Names;
use crate::table::Table;

const NET: &str = "/proc/sys/net";
const IP_FORWARD: &str = "ipv4/ip_forward";

/// A file below `/proc/sys/net` and what it is to hold.
pub type Switch = (String, &'static str);

pub fn apply(names: &Names, table: &Table, links: &Links) -> Result<()> {
    if wants_ipv6(table) && read("ipv6/conf/all/forwarding").is_some_and(|is| is == "0") {
        keep_router_advertisements()?;
    }
    for (file, value) in wanted(names, table, links) {
        // An interface may have gone meanwhile, and a kernel may lack IPv6.
        let is = read(&file);
        if is.is_some_and(|is| is != value) {
            write(&file, value)?;
        }
    }
    Ok(())
}

/// Whether the host forwards packets between its interfaces.
pub fn forwards() -> bool {
    read(IP_FORWARD).is_none_or(|is| is != "0")
}

/// Those that are not as they should be, as `sysctl` says them.
pub fn missing(names: &Names, table: &Table, links: &Links) -> Vec<String> {
    let wrong = |(file, value): Switch| {
        let is = read(&file)?;
        let name = format!("net/{file}").replace('/', ".");
        (is != value).then(|| format!("{name} is {is}, not {value}"))
    };
    let wanted = wanted(names, table, links);
    wanted.into_iter().filter_map(wrong).collect()
}

fn wanted(names: &Names, table: &Table, links: &Links) -> Vec<Switch> {
    let mut switches = vec![(IP_FORWARD.to_owned(), "1")];
    if wants_ipv6(table) {
        switches.push(("ipv6/conf/all/forwarding".to_owned(), "1"));
    }
    let on = |link: &str, switch: &str, value| (format!("ipv4/conf/{link}/{switch}"), value);
    let veths: BTreeSet<_> = table.locals.values().map(|local| &local.veth).collect();
    for veth in veths.into_iter().filter(|veth| links.contains_key(*veth)) {
        // Clients on the host that ask 127.0.0.1; the rules let nobody else.
        switches.push(on(veth, "route_localnet", "1"));
        switches.push(on(veth, "send_redirects", "0"));
    }
    if links.contains_key(&names.tun) {
        let tun = names.tun.as_str();
        switches.push(on(tun, "route_localnet", "1"));
        switches.push(on(tun, "rp_filter", rp_filter()));
        switches.push(on(tun, "send_redirects", "0"));
    }
    switches
}

/// Clients are anywhere, and this host need have no route to them; the tunnel has
/// checked where their packets come from. The kernel takes the higher of this and
/// `all`: what is strict there is at least made loose here.
fn rp_filter() -> &'static str {
    match read("ipv4/conf/all/rp_filter").as_deref() {
        Some("0") => "0",
        _ => "2",
    }
}

/// Whether there are networks with IPv6, and the kernel can have them.
pub fn wants_ipv6(table: &Table) -> bool {
    table.subnets.iter().any(|(net, _)| net.addr().is_ipv6()) && has_ipv6()
}

/// A device may be without, by the kernel's build or command line or by a switch.
pub fn has_ipv6() -> bool {
    read("ipv6/conf/lo/disable_ipv6").is_some_and(|is| is == "0")
}

/// A kernel that forwards ignores router advertisements, and so may lose its
/// own address, unless it is told to go on by 2.
fn keep_router_advertisements() -> Result<()> {
    let conf = Path::new(NET).join("ipv6/conf");
    let Ok(links) = std::fs::read_dir(conf) else {
        return Ok(());
    };
    for link in links.flatten() {
        let file = format!("ipv6/conf/{}/accept_ra", link.file_name().to_string_lossy());
        if read(&file).is_some_and(|is| is == "1") {
            write(&file, "2")?;
        }
    }
    Ok(())
}

fn read(file: &str) -> Option<String> {
    let text = std::fs::read_to_string(path(file)).ok()?;
    Some(text.trim().to_owned())
}

fn write(file: &str, value: &str) -> Result<()> {
    let written = std::fs::write(path(file), value);
    match written {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Io {
            what: format!("writing {value} to {NET}/{file}"),
            source,
        }),
        _ => Ok(()),
    }
}

fn path(file: &str) -> PathBuf {
    Path::new(NET).join(file)
}
