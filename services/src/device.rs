//! Which devices of its host a node tells of, and which a task asks for.

/// What lies below `/dev` and says nothing of a host: it is on all of them, as
/// consoles and pseudo-devices are, or comes and goes as engines work.
pub fn is_common(path: &str) -> bool {
    let Some(name) = path.strip_prefix("/dev/") else {
        return false;
    };
    let alone = [
        "console",
        "core",
        "fd",
        "full",
        "kmsg",
        "loop-control",
        "mem",
        "null",
        "port",
        "ptmx",
        "random",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
    ];
    let folders = ["hugepages", "mqueue", "pts", "shm"];
    let numbered = ["dm-", "loop", "ram", "tty", "vcs", "vcsa", "vcsu"];
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let first = name.split('/').next().unwrap_or(name);
    // Numbers that change whenever something is plugged in; their folders stay.
    let of_usb = name.strip_prefix("bus/usb/");
    let is_usb = of_usb.is_some_and(|rest| rest.contains('/'));
    is_usb
        || alone.contains(&name)
        || folders.contains(&first)
        || numbered
            .iter()
            .any(|of| name.strip_prefix(of).is_some_and(is_number))
}

/// Where NVIDIA's driver tells of each GPU, also while none is in use and has a
/// device.
pub const NVIDIA_GPUS: &str = "/proc/driver/nvidia/gpus";

/// How many GPUs the node has, as far as it tells: those of a single board or of
/// WSL have no numbers.
pub(crate) fn gpus<'a>(devices: impl IntoIterator<Item = &'a String>) -> u32 {
    let mut gpus = 0;
    let mut of_driver = 0;
    for device in devices {
        let number = device.strip_prefix("/dev/nvidia");
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        if number.is_some_and(is_number) {
            gpus += 1;
        } else if matches!(device.as_str(), "/dev/nvhost-gpu" | "/dev/dxg") {
            of_driver = of_driver.max(1);
        } else if device.starts_with(NVIDIA_GPUS) {
            of_driver += 1;
        }
    }
    gpus.max(of_driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_host_has_is_not_told() {
        for path in [
            "/dev/null",
            "/dev/tty",
            "/dev/tty1",
            "/dev/loop7",
            "/dev/pts/3",
            "/dev/vcs",
            "/dev/bus/usb/001/004",
        ] {
            assert!(is_common(path), "{path}");
        }
        for path in [
            "/dev/ttyUSB0",
            "/dev/ttyS0",
            "/dev/fuse",
            "/dev/snd",
            "/dev/loopx",
            "/x",
        ] {
            assert!(!is_common(path), "{path}");
        }
    }

    #[test]
    fn gpus_are_counted_by_their_numbers() {
        let count = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| format!("/dev/{name}")).collect();
            gpus(&names)
        };
        assert_eq!(count(&["kvm", "nvidiactl", "nvidia-uvm"]), 0);
        assert_eq!(count(&["nvidia0", "nvidia1", "nvidiactl"]), 2);
        assert_eq!(count(&["nvhost-gpu", "nvmap"]), 1);
        let of_driver = [format!("{NVIDIA_GPUS}/0000:01:00.0")];
        assert_eq!(gpus(&of_driver), 1);
    }
}
