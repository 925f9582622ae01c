//! The flags of `docker run`, as labels of a service.
//!
//! Docker's specs have no fields for them, and labels are what every client
//! sends back as it got it.

use std::collections::BTreeMap;

use services::spec::{Device, SecurityOption};

use super::Known;
use crate::api::dto::{
    DEVICE_LABEL, DiscreteResource, GPUS_LABEL, GenericResource, IPC_LABEL, Labels, PID_LABEL,
    PLATFORM_LABEL, PRIVILEGED_LABEL, Reservation, SECURITY_OPT_LABEL, SHM_SIZE_LABEL, ServiceSpec,
    is_one_of,
};
use crate::cli::args::RunFlags;
use crate::cli::values::Invalid;

/// What says "as if it had not been said" takes the label away.
pub fn set(flags: &RunFlags, labels: &mut Labels) {
    let privileged = flags.privileged.map(|it| (it, "true".to_owned()));
    let shm_size = flags.shm_size.map(|it| (it != 0, it.to_string()));
    let word = |word: &Option<String>| word.clone().map(|it| (!it.is_empty(), it));
    for (label, said) in [
        (PRIVILEGED_LABEL, privileged),
        (SHM_SIZE_LABEL, shm_size),
        (GPUS_LABEL, word(&flags.gpus)),
        (PID_LABEL, word(&flags.pid)),
        (IPC_LABEL, word(&flags.ipc)),
        (PLATFORM_LABEL, word(&flags.platform)),
    ] {
        match said {
            Some((true, value)) => {
                labels.insert(label.to_owned(), value);
            }
            Some((false, _)) => {
                labels.remove(label);
            }
            None => {}
        }
    }
}

/// One for the same place in the container is replaced.
pub fn add_devices(labels: &mut Labels, devices: &[Device]) {
    for device in devices {
        let same = |known: &Device| known.in_container == device.in_container;
        put(labels, DEVICE_LABEL, device.to_string(), |value| {
            value.parse().is_ok_and(|known| same(&known))
        });
    }
}

/// By the path on the host, or by all that was said.
pub fn remove_devices(labels: &mut Labels, removed: &[String]) {
    let is_removed = |value: &String| {
        let on_host = value.parse().ok().map(|known: Device| known.on_host);
        removed.contains(value) || on_host.is_some_and(|it| removed.contains(&it))
    };
    labels.retain(|label, value| !(is_one_of(label, DEVICE_LABEL) && is_removed(value)));
}

/// A profile that is named by its path is sent as its text.
pub fn add_security(labels: &mut Labels, options: &[String], known: &Known) -> Result<(), Invalid> {
    for option in options {
        let profile = seccomp_path(option).and_then(|path| known.profiles.get(path));
        let text = match profile {
            Some(profile) => format!("seccomp={profile}"),
            None => option.parse::<SecurityOption>()?.to_string(),
        };
        put(labels, SECURITY_OPT_LABEL, text.clone(), |value| {
            *value == text
        });
    }
    Ok(())
}

/// By what was said, or by the word before `=`.
pub fn remove_security(labels: &mut Labels, removed: &[String]) {
    let is_removed = |value: &String| {
        let key = value.split(['=', ':']).next().unwrap_or_default();
        removed.iter().any(|it| it == value || it == key)
    };
    labels.retain(|label, value| !(is_one_of(label, SECURITY_OPT_LABEL) && is_removed(value)));
}

/// The path of the seccomp profile that a security option names, if it does.
pub fn seccomp_path(option: &str) -> Option<&str> {
    let profile = option.strip_prefix("seccomp=")?;
    let is_path = !matches!(profile, "" | "unconfined" | "builtin") && !profile.starts_with('{');
    is_path.then_some(profile)
}

/// Another number of the same kind replaces it.
pub fn reserve(spec: &mut ServiceSpec, resources: &[DiscreteResource]) {
    for resource in resources {
        let reserved = reservations(spec).get_or_insert_default();
        let known = &mut reserved.generic_resources;
        known.retain(|known| kind(known) != resource.kind);
        known.push(GenericResource {
            discrete_resource_spec: Some(resource.clone()),
            ..GenericResource::default()
        });
    }
}

pub fn unreserve(spec: &mut ServiceSpec, kinds: &[String]) {
    if kinds.is_empty() {
        return;
    }
    if let Some(reserved) = reservations(spec) {
        let known = &mut reserved.generic_resources;
        known.retain(|known| !kinds.iter().any(|it| it == kind(known)));
    }
}

fn reservations(spec: &mut ServiceSpec) -> &mut Option<Reservation> {
    let resources = spec.task_template.resources.get_or_insert_default();
    &mut resources.reservations
}

fn kind(resource: &GenericResource) -> &str {
    let discrete = resource.discrete_resource_spec.as_ref();
    discrete.map_or("", |it| it.kind.as_str())
}

/// Under the label whose value it replaces, or under the lowest free number.
fn put(labels: &mut Labels, of: &str, value: String, replaces: impl Fn(&String) -> bool) {
    let known = labels
        .iter()
        .find(|(label, value)| is_one_of(label, of) && replaces(value));
    let label = known.map(|(label, _)| label.clone());
    let free = || {
        let mut numbered = (0_u32..).map(|number| format!("{of}.{number}"));
        numbered.find(|label| !labels.contains_key(label))
    };
    if let Some(label) = label.or_else(free) {
        labels.insert(label, value);
    }
}

/// The texts of seccomp profiles, by the paths that options name.
pub type Profiles = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    }

    fn devices(texts: &[&str]) -> Vec<Device> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn words(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn devices_are_added_and_removed_under_labels_of_their_own() {
        let mut known = labels(&[("swarmlet.device.gps", "/dev/ttyUSB0:/dev/gps")]);
        add_devices(
            &mut known,
            &devices(&["/dev/kvm", "/dev/snd:rw", "/dev/ttyUSB1:/dev/gps"]),
        );
        let wanted = labels(&[
            ("swarmlet.device.0", "/dev/kvm"),
            ("swarmlet.device.1", "/dev/snd:rw"),
            ("swarmlet.device.gps", "/dev/ttyUSB1:/dev/gps"),
        ]);
        assert_eq!(known, wanted);
        remove_devices(
            &mut known,
            &words(&["/dev/ttyUSB1", "/dev/snd:rw", "/dev/x"]),
        );
        assert_eq!(known, labels(&[("swarmlet.device.0", "/dev/kvm")]));
        add_devices(&mut known, &devices(&["/dev/kvm"]));
        assert_eq!(known.len(), 1);
    }

    #[test]
    fn a_seccomp_profile_is_sent_as_its_text() {
        let mut known = Labels::new();
        let names = Known {
            profiles: [("p.json".into(), "{}".into())].into(),
            ..Known::default()
        };
        let options = words(&["seccomp=p.json", "no-new-privileges", "seccomp=p.json"]);
        add_security(&mut known, &options, &names).unwrap();
        let wanted = labels(&[
            ("swarmlet.security-opt.0", "seccomp={}"),
            ("swarmlet.security-opt.1", "no-new-privileges"),
        ]);
        assert_eq!(known, wanted);
        remove_security(&mut known, &words(&["seccomp"]));
        assert_eq!(known.len(), 1);
        assert!(add_security(&mut known, &words(&["seccomp=other.json"]), &names).is_err());
    }

    #[test]
    fn a_kind_is_reserved_once() {
        let one = |kind: &str, value| DiscreteResource {
            kind: kind.into(),
            value,
        };
        let mut spec = ServiceSpec::default();
        unreserve(&mut spec, &[]);
        assert_eq!(spec, ServiceSpec::default());
        reserve(&mut spec, &[one("gpu", 1), one("ssd", 2)]);
        reserve(&mut spec, &[one("gpu", 3)]);
        unreserve(&mut spec, &words(&["ssd", "none"]));
        let json = serde_json::to_string(&spec.task_template.resources).unwrap();
        let wanted = r#"{"Reservations":{"GenericResources":[{"DiscreteResourceSpec":{"Kind":"gpu","Value":3}}]}}"#;
        assert_eq!(json, wanted);
    }

    #[test]
    fn what_says_nothing_takes_the_label_away() {
        let mut known = Labels::new();
        let flags = RunFlags {
            privileged: Some(true),
            gpus: Some("all".into()),
            shm_size: Some(1024),
            pid: Some("host".into()),
            ipc: Some("private".into()),
            platform: Some("linux/arm/v7".into()),
        };
        set(&flags, &mut known);
        let wanted = labels(&[
            ("swarmlet.gpus", "all"),
            ("swarmlet.ipc", "private"),
            ("swarmlet.pid", "host"),
            ("swarmlet.platform", "linux/arm/v7"),
            ("swarmlet.privileged", "true"),
            ("swarmlet.shm-size", "1024"),
        ]);
        assert_eq!(known, wanted);
        set(&RunFlags::default(), &mut known);
        assert_eq!(known, wanted);
        let nothing = RunFlags {
            privileged: Some(false),
            gpus: Some(String::new()),
            shm_size: Some(0),
            pid: Some(String::new()),
            ipc: Some(String::new()),
            platform: Some(String::new()),
        };
        set(&nothing, &mut known);
        assert_eq!(known, Labels::new());
    }
}
