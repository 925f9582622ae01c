//! Programs that are run to the end, with errors that tell the whole story.

use std::fmt;
use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};

use crate::error::{Context, Error, Result};

/// What a program left: its status and everything it printed.
#[derive(Debug, Clone)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Did it exit with 0?
    pub fn ok(&self) -> bool {
        self.status.success()
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.trim().is_empty() {
                write!(f, "\n--- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

/// Runs `command` to its end with `input` on its stdin.
///
/// `place` is where it runs, for the error ("h2", "the switch").
pub fn capture(place: &str, command: &mut Command, input: &str) -> Result<Output> {
    let line = words(command);
    let what = || format!("{place}: run {line}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(what)?;
    let stdin = child.stdin.take();
    let done = std::thread::scope(|scope| {
        // From a thread of its own: the program may print before it reads.
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
        child.wait_with_output()
    });
    let done = done.context(what)?;
    Ok(Output {
        status: done.status,
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

/// Like [`capture`]; anything but exit code 0 is an error. Returns stdout.
pub fn succeed(place: &str, command: &mut Command, input: &str) -> Result<String> {
    let output = capture(place, command, input)?;
    if output.ok() {
        Ok(output.stdout)
    } else {
        Err(failure(place, &words(command), &output))
    }
}

/// The error for a program that should have succeeded.
pub fn failure(place: &str, command: &str, output: &Output) -> Error {
    let printed = output.to_string();
    let (ending, said) = printed.split_at(printed.find('\n').unwrap_or(printed.len()));
    Error::Command {
        place: place.to_owned(),
        command: command.to_owned(),
        ending: ending.to_owned(),
        said: said.to_owned(),
    }
}

fn words(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_larger_than_a_pipe_passes_through() {
        let input = "x".repeat(1 << 20);
        let out = succeed("here", &mut Command::new("cat"), &input).unwrap();
        assert_eq!(out.len(), input.len());
    }

    #[test]
    fn a_failure_tells_place_command_status_and_output() {
        let error = succeed(
            "h2",
            Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"]),
            "",
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "h2: `sh -c echo a; echo b >&2; exit 3` exit status: 3\n--- stdout\na\n--- stderr\nb"
        );
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error() {
        assert!(capture("here", &mut Command::new("/no/such"), "").is_err());
    }
}
