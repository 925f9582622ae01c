use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::codec::{decode_proposal, encode_proposal, read_snapshot, write_snapshot};
use crate::command::{Command, Proposal};
use crate::file::{FileKind, FileObject, FileSpec};
use crate::id::Id;
use crate::object::Meta;
use crate::spec::{Driver, Labels};
use crate::state::State;
use crate::testing::file;
use crate::time::Timestamp;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_golden(bytes: &[u8], expected: &str) {
    assert_eq!(hex(bytes), expected.replace([' ', '\n'], ""));
}

fn check_command(command: Command, expected: &str) {
    let at = Timestamp(300);
    let proposal = Proposal { at, command };
    let bytes = encode_proposal(&proposal).unwrap();
    check_golden(&bytes, expected);
    assert_eq!(decode_proposal(&bytes).unwrap(), proposal);
}

const SPEC: &str = "36
    7b226e616d65223a226e222c226c6162656c73223a7b7d2c22636f6e74656e74223a7b2274656d706c6174696e
    67223a6e756c6c7d7d";

#[test]
fn the_bytes_of_files_stay_as_they_are() {
    let id = Id::from_u128(1);
    let (spec, kind) = (file("n", &[0, 255]), FileKind::Config);
    let create = Command::CreateFile {
        id,
        kind,
        spec: spec.clone(),
    };
    check_command(create, &format!("00 fb2c01 10 01 01 {SPEC} 02 00ff"));
    let update = Command::UpdateFile {
        id,
        kind: FileKind::Secret,
        version: 7,
        labels: Labels::from([("a".to_owned(), "b".to_owned())]),
    };
    check_command(update, "00 fb2c01 11 01 00 07 01 0161 0162");
    check_command(Command::RemoveFile { id, kind }, "00 fb2c01 12 01 01");

    let mut state = State::default();
    state.put_file(FileObject {
        id,
        kind,
        meta: Meta {
            version: 4,
            created: Timestamp(5),
            updated: Timestamp(6),
        },
        spec,
    });
    let mut bytes = Vec::new();
    write_snapshot(&state, &mut bytes).unwrap();
    let expected = format!("41000000 00 0f 01 01 040506 {SPEC} 02 00ff 03000000 00 06 01");
    check_golden(&bytes, &expected);
    assert_eq!(read_snapshot(bytes.as_slice()).unwrap(), state);
}

#[test]
fn the_bytes_of_a_content_stay_as_they_are() {
    let content = file("n", &[1, 254]).content;
    let bytes = encode_file(&content).unwrap();
    check_golden(
        &bytes,
        "00 13 7b2274656d706c6174696e67223a6e756c6c7d 02 01fe",
    );
    assert_eq!(decode_file(&bytes).unwrap(), *content);
}

#[test]
fn the_largest_config_fits_where_it_has_to() {
    let spec = file("n", &vec![251; 1_024_000]);
    assert!(encode_file(&spec.content).is_ok());
    let command = Command::CreateFile {
        id: Id::default(),
        kind: FileKind::Config,
        spec,
    };
    let at = Timestamp(1);
    assert!(encode_proposal(&Proposal { at, command }).is_ok());
}

proptest! {
    #[test]
    fn a_content_survives_its_bytes(data: Vec<u8>, templating: Option<String>) {
        let content = FileContent {
            templating: templating.map(|name| Driver { name, ..Driver::default() }),
            data: data.into(),
        };
        let spec = FileSpec { content: Arc::new(content), ..FileSpec::default() };
        let bytes = encode_file(&spec.content).unwrap();
        prop_assert_eq!(decode_file(&bytes).unwrap(), FileContent::clone(&spec.content));
    }

    #[test]
    fn noise_is_refused(bytes: Vec<u8>) {
        let _ = decode_file(&bytes);
    }
}
