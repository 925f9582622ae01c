use proptest::prelude::*;

use super::*;

fn device(text: &str) -> Result<(String, String, String), String> {
    let device: Device = text.parse().map_err(|error: Invalid| error.to_string())?;
    Ok((device.on_host, device.in_container, device.permissions))
}

#[test]
fn a_device_is_written_as_for_docker_run() {
    for (text, on_host, in_container, permissions) in [
        ("/dev/ttyUSB0", "/dev/ttyUSB0", "/dev/ttyUSB0", "rwm"),
        ("/dev/ttyUSB0:/dev/gps", "/dev/ttyUSB0", "/dev/gps", "rwm"),
        ("/dev/ttyUSB0:r", "/dev/ttyUSB0", "/dev/ttyUSB0", "r"),
        ("/dev/snd:/dev/sound:rw", "/dev/snd", "/dev/sound", "rw"),
        (
            "/dev/serial/by-id/usb-u-blox_7-if00",
            "/dev/serial/by-id/usb-u-blox_7-if00",
            "/dev/serial/by-id/usb-u-blox_7-if00",
            "rwm",
        ),
    ] {
        let parts = (on_host.into(), in_container.into(), permissions.into());
        assert_eq!(device(text), Ok(parts), "{text}");
    }
}

#[test]
fn what_is_no_device_is_refused_with_what_to_say() {
    for (text, why) in [
        ("", "invalid device \"\": say its path below /dev"),
        (
            "ttyUSB0",
            "invalid device \"ttyUSB0\": say its path below /dev",
        ),
        (
            "/etc/passwd",
            "invalid device \"/etc/passwd\": say its path below /dev",
        ),
        (
            "/dev/../etc",
            "invalid device \"/dev/../etc\": say its path below /dev",
        ),
        ("/dev/", "invalid device \"/dev/\": say its path below /dev"),
        (
            "/dev/a:b",
            "invalid path of a device in the container \"b\": it must be absolute",
        ),
        (
            "/dev/a:/dev/b:x",
            "invalid device mode \"x\": say some of r, w and m",
        ),
        (
            "/dev/a:/dev/b:rr",
            "invalid device mode \"rr\": say some of r, w and m",
        ),
        (
            "/dev/a:/dev/b:r:w",
            "invalid device specification: /dev/a:/dev/b:r:w",
        ),
        (
            "nvidia.com/gpu=all",
            "invalid device \"nvidia.com/gpu=all\": say its path below /dev",
        ),
    ] {
        assert_eq!(device(text), Err(why.to_owned()), "{text}");
    }
}

fn gpus(text: &str) -> Result<GpuRequest, String> {
    text.parse().map_err(|error: Invalid| error.to_string())
}

#[test]
fn gpus_are_asked_for_as_with_docker_run() {
    let count = |text: &str| gpus(text).unwrap().count;
    assert_eq!(count("all"), GpuCount::All);
    assert_eq!(count("2"), GpuCount::Number(2));
    assert_eq!(count("count=-1"), GpuCount::All);
    assert_eq!(count("driver=nvidia"), GpuCount::Number(1));
    let named = GpuCount::Named(vec!["0".into(), "GPU-1".into()]);
    assert_eq!(count(r#""device=0,GPU-1""#), named);
    let all = gpus(r#"driver=nvidia,count=2,"capabilities=utility,compute","options=a=b,c""#);
    let all = all.unwrap();
    assert_eq!(all.driver, "nvidia");
    let words = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(all.capabilities, words(&["compute", "gpu", "utility"]));
    let options = [("a".into(), "b".into()), ("c".into(), String::new())];
    assert_eq!(all.options, options.into());
}

#[test]
fn gpus_are_shown_as_docker_run_takes_them() {
    for text in [
        "all",
        "2",
        r#"driver=nvidia,"device=0,1",capabilities=gpu"#,
        r#"count=2,"capabilities=gpu,utility""#,
        r#"count=all,capabilities=gpu,"options=""a=b,c"",d=e""#,
    ] {
        assert_eq!(gpus(text).unwrap().to_string(), text);
    }
}

#[test]
fn gpus_that_cannot_be_meant_are_refused() {
    for (text, why) in [
        (
            "some",
            "invalid count (some): value must be either \"all\" or an integer",
        ),
        (
            "0",
            "invalid count (0): value must be either \"all\" or an integer",
        ),
        (
            "count=1,count=2",
            "gpu request key 'count' can be specified only once",
        ),
        (
            "2,device=0",
            "gpu request key 'device' can be specified only once",
        ),
        ("model=x", "unexpected key 'model' in 'model=x'"),
        ("device=", "a name is empty in 'device='"),
        (
            "device=0,1",
            "gpu request key 'count' can be specified only once",
        ),
    ] {
        assert_eq!(gpus(text), Err(why.to_owned()), "{text}");
    }
}

#[test]
fn security_options_are_those_of_docker_run() {
    for text in [
        "no-new-privileges",
        "no-new-privileges=false",
        "no-new-privileges:true",
        "apparmor=unconfined",
        "label=level:s0:c100,c200",
        "label:disable",
        "seccomp=unconfined",
        r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#,
        "systempaths=unconfined",
    ] {
        let option: SecurityOption = text.parse().unwrap();
        assert_eq!(option.to_string(), text);
    }
    for text in [
        "",
        "apparmor",
        "no-new-privileges=x",
        "seccomp=/etc/p.json",
        "x=y",
    ] {
        assert!(text.parse::<SecurityOption>().is_err(), "{text}");
    }
}

#[test]
fn modes_are_words() {
    assert_eq!("host".parse(), Ok(PidMode::Host));
    assert_eq!("shareable".parse(), Ok(IpcMode::Shareable));
    assert!("container:x".parse::<PidMode>().is_err());
    assert_eq!(
        "container:x".parse::<IpcMode>().unwrap_err().to_string(),
        "invalid IPC mode \"container:x\": say host, shareable, private or none"
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z0-9=,:./\"{}\\-]{0,40}") {
        let _ = (text.parse::<GpuRequest>(), text.parse::<SecurityOption>());
        if let Ok(device) = text.parse::<Device>() {
            prop_assert_eq!(device.to_string().parse(), Ok(device));
        }
    }
}
