//! The labels of a service that say what its containers have beyond what
//! Docker's services can say.

use std::str::FromStr;

use services::spec::RunOptions;
use services::text::{Invalid, boolean, bytes};

use crate::api::dto::{
    DEVICE_LABEL, GPUS_LABEL, HOST_IP_LABEL, IP_LABEL, IPC_LABEL, Labels, PID_LABEL,
    PLATFORM_LABEL, PRIVILEGED_LABEL, SECURITY_OPT_LABEL, SHM_SIZE_LABEL, SWARMLET_LABEL,
    VIP_LABEL, is_one_of,
};
use crate::api::error::ApiError;

/// Reads all labels but those of networks and ports, which are read with them.
///
/// # Errors
/// Which label is unknown, or what is wrong with its value.
pub(super) fn run_options(labels: &Labels) -> Result<RunOptions, ApiError> {
    let mut run = RunOptions::default();
    let ours = labels
        .iter()
        .filter(|(it, _)| it.starts_with(SWARMLET_LABEL));
    for (label, value) in ours {
        match label.as_str() {
            GPUS_LABEL => run.gpus = Some(read(label, value)?),
            PRIVILEGED_LABEL => run.privileged = said(label, boolean(value))?,
            SHM_SIZE_LABEL => run.shm_size = Some(said(label, bytes(value))?),
            PID_LABEL => run.pid = Some(read(label, value)?),
            IPC_LABEL => run.ipc = Some(read(label, value)?),
            PLATFORM_LABEL => run.platform = Some(read(label, value)?),
            _ if is_one_of(label, DEVICE_LABEL) => run.devices.push(read(label, value)?),
            _ if is_one_of(label, SECURITY_OPT_LABEL) => run.security.push(read(label, value)?),
            _ if [HOST_IP_LABEL, VIP_LABEL, IP_LABEL]
                .iter()
                .any(|of_many| label.starts_with(of_many)) => {}
            _ => return Err(unknown(label)),
        }
    }
    // The names of their labels are nobody's business.
    run.devices
        .sort_by(|one, other| one.in_container.cmp(&other.in_container));
    run.security.sort_by_key(ToString::to_string);
    Ok(run)
}

/// There it would say nothing.
pub(super) fn check_container_labels(labels: &Labels) -> Result<(), ApiError> {
    match labels.keys().find(|it| it.starts_with(SWARMLET_LABEL)) {
        Some(label) => Err(ApiError::invalid_argument(format!(
            "label {label} is of the containers: make it one of the service (--label, in a \
             Compose file deploy.labels)"
        ))),
        None => Ok(()),
    }
}

fn read<T: FromStr<Err = Invalid>>(label: &str, value: &str) -> Result<T, ApiError> {
    said(label, value.parse())
}

fn said<T>(label: &str, value: Result<T, Invalid>) -> Result<T, ApiError> {
    value.map_err(|error| ApiError::invalid_argument(format!("label {label}: {error}")))
}

fn unknown(label: &str) -> ApiError {
    ApiError::invalid_argument(format!(
        "label {label} means nothing: those of services are {DEVICE_LABEL}[.<name>], {GPUS_LABEL}, \
         {PRIVILEGED_LABEL}, {SECURITY_OPT_LABEL}[.<name>], {SHM_SIZE_LABEL}, {PID_LABEL}, \
         {IPC_LABEL}, {PLATFORM_LABEL}, {IP_LABEL}<network>, {VIP_LABEL}<network> and \
         {HOST_IP_LABEL}<port>/<protocol>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn each_label_is_one_option() {
        let run = run_options(&labels(&[
            ("swarmlet.device", "/dev/kvm"),
            ("swarmlet.device.0", "/dev/ttyUSB0:/dev/gps:rw"),
            ("swarmlet.device.cam_1", "/dev/video0"),
            ("swarmlet.gpus", "all"),
            ("swarmlet.privileged", "true"),
            ("swarmlet.security-opt.0", "seccomp=unconfined"),
            ("swarmlet.shm-size", "64m"),
            ("swarmlet.pid", "host"),
            ("swarmlet.ipc", "shareable"),
            ("swarmlet.platform", "linux/arm/v7"),
            ("swarmlet.ip.net", "read elsewhere"),
            ("tier", "front"),
        ]));
        insta::assert_snapshot!(serde_json::to_string(&run.unwrap()).unwrap(), @r#"
        {"devices":[{"on_host":"/dev/ttyUSB0","in_container":"/dev/gps","permissions":"rw"},{"on_host":"/dev/kvm","in_container":"/dev/kvm","permissions":"rwm"},{"on_host":"/dev/video0","in_container":"/dev/video0","permissions":"rwm"}],"gpus":{"driver":"","count":"all","capabilities":["gpu"],"options":{}},"privileged":true,"security":[{"engine":"seccomp=unconfined"}],"shm_size":67108864,"pid":"host","ipc":"shareable","platform":{"architecture":"arm/v7","os":"linux"}}
        "#);
    }

    #[test]
    fn a_label_of_the_containers_is_refused_with_where_it_belongs() {
        assert_eq!(
            check_container_labels(&labels(&[("tier", "front")])),
            Ok(())
        );
        let error = check_container_labels(&labels(&[("swarmlet.gpus", "all")])).unwrap_err();
        let why = "label swarmlet.gpus is of the containers: make it one of the service";
        assert!(error.message.contains(why), "{}", error.message);
    }

    #[test]
    fn what_a_label_cannot_mean_is_refused_with_what_it_can() {
        for (label, value, why) in [
            (
                "swarmlet.device",
                "ttyUSB0",
                "label swarmlet.device: invalid device \"ttyUSB0\": say its path below /dev",
            ),
            (
                "swarmlet.privileged",
                "yes",
                "label swarmlet.privileged: \"yes\" is neither true nor false",
            ),
            (
                "swarmlet.shm-size",
                "big",
                "label swarmlet.shm-size: invalid suffix: 'big'",
            ),
            (
                "swarmlet.pid",
                "container:x",
                "label swarmlet.pid: invalid PID mode",
            ),
            (
                "swarmlet.platform",
                "linux/amd64/v4",
                "label swarmlet.platform: no node tells whether it is amd64/v4",
            ),
            (
                "swarmlet.devices",
                "/dev/kvm",
                "label swarmlet.devices means nothing: those of services are swarmlet.device[.<name>], ",
            ),
            (
                "swarmlet.device.",
                "/dev/kvm",
                "label swarmlet.device. means nothing",
            ),
            (
                "swarmlet.gpus.0",
                "all",
                "label swarmlet.gpus.0 means nothing",
            ),
        ] {
            let error = run_options(&labels(&[(label, value)])).unwrap_err();
            assert!(error.message.contains(why), "{}", error.message);
        }
    }
}
