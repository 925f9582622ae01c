//! Labels of a service that say what Docker's specs have no fields for.

/// What all of them begin with.
pub const SWARMLET_LABEL: &str = "swarmlet.";
/// Goes before `8080/tcp`, a published port; the value is an IP address.
pub const HOST_IP_LABEL: &str = "swarmlet.host-ip.";
/// Goes before the name of a network; the value is the service's address
/// there, or one of each family with a comma between.
pub const VIP_LABEL: &str = "swarmlet.vip.";
/// The same for the address of the service's one task.
pub const IP_LABEL: &str = "swarmlet.ip.";
/// Alone or before `.` and any name, as there may be several of it; the value
/// is that of `docker run --device`.
pub const DEVICE_LABEL: &str = "swarmlet.device";
/// The same for `docker run --security-opt`.
pub const SECURITY_OPT_LABEL: &str = "swarmlet.security-opt";
/// The value is that of `docker run --gpus`; so are the following.
pub const GPUS_LABEL: &str = "swarmlet.gpus";
pub const PRIVILEGED_LABEL: &str = "swarmlet.privileged";
pub const SHM_SIZE_LABEL: &str = "swarmlet.shm-size";
pub const PID_LABEL: &str = "swarmlet.pid";
pub const IPC_LABEL: &str = "swarmlet.ipc";
/// The value is that of `docker run --platform`: `linux/arm/v7`.
pub const PLATFORM_LABEL: &str = "swarmlet.platform";

/// Whether it is `of`, of which there may be several, alone or with a name
/// behind a dot.
pub fn is_one_of(label: &str, of: &str) -> bool {
    let is_name = |name: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !name.is_empty() && name.bytes().all(letter)
    };
    match label.strip_prefix(of) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('.').is_some_and(is_name),
        None => false,
    }
}
