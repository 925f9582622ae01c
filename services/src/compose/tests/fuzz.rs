//! Bytes of anybody's file: any at all.

use std::time::Duration;

use super::kit::{Stack, stack};
use crate::compose::{load, merged};

/// Loads it, and what it is written as, which must be the same again.
fn check(stack: &Stack) {
    let _ = merged(&stack.request, stack);
    let Ok(loaded) = load(&stack.request, stack) else {
        return;
    };
    let yaml = loaded.project.to_yaml();
    let mut again = stack.clone().profile("*");
    again.request.files.clear();
    let again = again.layer("again.yml", &yaml);
    match load(&again.request, &again) {
        Ok(again) => assert_eq!(again.project, loaded.project, "{yaml}"),
        Err(problems) => panic!("{problems}\n{yaml}"),
    }
}

#[test]
fn no_bytes_of_a_file_do_harm() {
    bolero::check!().for_each(|input: &[u8]| {
        let stack = stack("").file("stack.yml", input).env("A", "a");
        check(&stack);
    });
}

#[test]
fn no_bytes_of_a_file_of_variables_do_harm() {
    let text = "services: {web: {image: x, env_file: [a.env, {path: a.env, format: raw}]}}";
    bolero::check!().for_each(|input: &[u8]| {
        check(&stack(text).file("a.env", input).file(".env", input));
    });
}

/// Pieces that mean something beside each other.
const PIECES: [&str; 64] = [
    "services:\n",
    "  web:\n",
    "    image: nginx\n",
    "    image: \"a:$A\"\n",
    "    extends: db\n",
    "  db:\n",
    "    extends: web\n",
    "    ports:\n",
    "      - 80\n",
    "      - \"8080-8081:80-81\"\n",
    "      - {target: 80, published: 8080}\n",
    "    volumes:\n",
    "      - data:/data\n",
    "      - ./a:/b:ro\n",
    "volumes:\n",
    "  data:\n",
    "networks:\n",
    "  net: {external: true}\n",
    "    networks: [net]\n",
    "    networks:\n      net:\n        aliases: [a, a]\n",
    "    environment:\n",
    "      A: 1\n",
    "      - A=1\n",
    "      - A\n",
    "    env_file: .env\n",
    "x-a: &a\n",
    "  <<: *a\n",
    "    <<: *a\n",
    "&a ",
    "*a\n",
    "!reset ",
    "!override ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    ": ",
    "- ",
    "\n",
    "  ",
    "${A:-",
    "${A:?",
    "$",
    "$$",
    "}",
    "|\n",
    "---\n",
    "    deploy:\n",
    "      replicas: 2\n",
    "      mode: global\n",
    "      update_config: {}\n",
    "      resources: {limits: {cpus: 0.5}}\n",
    "    healthcheck: {test: x, interval: 1m}\n",
    "    command: \"a 'b c'\"\n",
    "    depends_on: [web]\n",
    "    depends_on: [db]\n",
    "    profiles: [a]\n",
    "    secrets: [s]\n",
    "secrets:\n  s: {environment: A}\n",
    "include: [stack.yml]\n",
    "include: other.yml\n",
    "    tmpfs: /run:size=1m,mode=1777\n",
];

#[test]
fn no_pieces_of_files_do_harm() {
    bolero::check!()
        .with_test_time(Duration::from_secs(5))
        .for_each(|input: &[u8]| {
            let pieces = |input: &[u8]| -> String {
                let piece = |byte: &u8| PIECES[usize::from(*byte) % PIECES.len()];
                input.iter().map(piece).collect()
            };
            let (one, other) = input.split_at(input.len() / 2);
            let start = match one.first() {
                Some(0..200) => "services:\n  web:\n    image: nginx\n",
                _ => "",
            };
            let stack = stack(&(start.to_owned() + &pieces(one)))
                .layer("other.yml", &pieces(other))
                .file(".env", "B=$A\n")
                .env("A", "a: b");
            check(&stack);
        });
}
