//! Every flag of the docker program 28.5 is in `docs/docker-compatibility.md`,
//! which says of each whether our command has it.

use std::collections::BTreeMap;

use clap::CommandFactory;

use super::Cli;

const DOCUMENT: &str = include_str!("../../../../docs/docker-compatibility.md");
/// `docker service create: cap-add cap-drop …`
const FLAGS: &str = include_str!("docker_flags.txt");

/// What the document says of a command's flags: flag, state, ours, why.
fn listed(command: &str) -> Vec<[String; 4]> {
    let heading = format!("\n### `{command}`\n");
    let (_, after) = DOCUMENT.split_once(&heading).expect(command);
    let section = after.split("\n### ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `--"));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let mut next = || cells.next().unwrap_or_default().to_owned();
        let flag = next().trim_matches('`').trim_start_matches("--").to_owned();
        [flag, next(), next(), next()]
    })
    .collect()
}

/// `docker swarm init` is `swarmlet init` here.
fn is_ours(command: &str, flag: &str) -> bool {
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let words = words.strip_prefix(&["swarm"]).unwrap_or(&words);
    let mut ours = &Cli::command();
    for word in words {
        match ours.find_subcommand(word) {
            Some(found) => ours = found,
            None => return false,
        }
    }
    ours.get_arguments().any(|it| it.get_long() == Some(flag))
}

#[test]
fn every_flag_of_docker_is_listed_and_said_to_be_ours_where_it_is() {
    let mut wrong = BTreeMap::new();
    let mut count = 0;
    for line in FLAGS.lines() {
        let (command, flags) = line.split_once(": ").unwrap();
        let flags: Vec<&str> = flags.split(' ').collect();
        let rows = listed(command);
        let named: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(named, flags, "{command}");
        count += flags.len();
        for [flag, state, ours, why] in &rows {
            assert!(
                ["works", "kept", "refused"].contains(&state.as_str()),
                "{flag}"
            );
            assert!(
                state == "works" || !why.is_empty(),
                "{command} --{flag}: why?"
            );
            let is = if is_ours(command, flag) { "yes" } else { "no" };
            if ours != is {
                wrong.insert(format!("{command} --{flag}"), is);
            }
        }
    }
    assert_eq!(count, 308);
    assert!(wrong.is_empty(), "the third column is to be: {wrong:#?}");
}
