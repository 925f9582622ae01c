//! The demo's transcript: what was typed, what was seen, whether the claim held
//! and how long it took, in 80 columns.
//!
//! ```text
//! h1 $ swarmlet node ls
//!     h1  ready
//!   ✔ every node is ready                                               0.2 s
//! ```

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use swarmlet_testnet::{Error, wait_for};

const WIDTH: usize = 80;
const NOTE: &str = "    ";

/// Writes the steps as they happen.
#[derive(Debug)]
pub struct Transcript<W> {
    out: W,
    steps: usize,
}

impl<W: Write> Transcript<W> {
    /// A transcript on `out`.
    pub fn new(out: W) -> Self {
        Self { out, steps: 0 }
    }

    /// How many steps were taken.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// One step: `command` is typed at `place`, and `claim` holds when `work`
    /// succeeds. `work` tells what it sees through [`Notes`].
    pub fn step<T>(
        &mut self,
        place: &str,
        command: &str,
        claim: &str,
        work: impl FnOnce(&mut Notes<'_>) -> Result<T>,
    ) -> Result<T> {
        self.steps += 1;
        print(&mut self.out, &prompt(place, command));
        let start = Instant::now();
        let done = work(&mut Notes {
            out: &mut self.out,
            start,
        });
        let mark = if done.is_ok() { '✔' } else { '✘' };
        print(&mut self.out, &verdict(mark, claim, start.elapsed()));
        done
    }

    /// A line of its own.
    pub fn line(&mut self, text: &str) {
        print(&mut self.out, text);
    }
}

/// What is seen during a step.
pub struct Notes<'a> {
    out: &'a mut dyn Write,
    start: Instant,
}

impl Notes<'_> {
    /// Says `text`, each line cut to the width of the page.
    pub fn say(&mut self, text: impl Display) {
        for line in text.to_string().lines() {
            print(self.out, &cut(&format!("{NOTE}{line}")));
        }
    }

    /// Says `text` with the seconds since the step began.
    pub fn say_when(&mut self, text: impl Display) {
        let seconds = self.start.elapsed().as_secs_f64();
        self.say(format!("{seconds:5.1} s  {text}"));
    }
}

/// Waits for `probe`; its refusals say what is seen instead of `expected`.
pub fn expect<T>(expected: &str, limit: Duration, probe: impl FnMut() -> Result<T>) -> Result<T> {
    wait_for(expected, limit, probe).map_err(|e| match e {
        Error::Timeout { waited, last, .. } => anyhow!(
            "expected: {expected}\nseen:     {last}, {:.0} s later",
            waited.wall.as_secs_f64()
        ),
        other => other.into(),
    })
}

/// The typed line, continued as in a shell where it is longer than the page.
fn prompt(place: &str, command: &str) -> String {
    let mut lines = vec![format!("{place} $")];
    for word in command.split(' ') {
        let fits = lines
            .last()
            .is_some_and(|line| line.chars().count() + 1 + word.chars().count() + 2 <= WIDTH);
        match lines.last_mut() {
            Some(line) if fits => *line += &format!(" {word}"),
            _ => lines.push(format!("{NOTE}  {word}")),
        }
    }
    lines.join(" \\\n")
}

fn verdict(mark: char, claim: &str, took: Duration) -> String {
    let seconds = format!("{:.1} s", took.as_secs_f64());
    let left = format!("  {mark} {claim}");
    let gap = WIDTH.saturating_sub(left.chars().count() + seconds.len());
    format!("{left}{:gap$}{seconds}\n", "")
}

fn cut(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        return line.trim_end().to_owned();
    }
    let kept: String = line.chars().take(WIDTH - 1).collect();
    format!("{}…", kept.trim_end())
}

/// A reader that went away must not stop the demo from tidying up.
fn print(out: &mut dyn Write, text: &str) {
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn told(work: impl FnOnce(&mut Transcript<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        work(&mut Transcript::new(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_step_shows_command_sight_verdict_and_time() {
        let text = told(|t| {
            t.step("h1", "swarmlet info", "it is there", |notes| {
                notes.say("Swarm: active\n");
                Ok(())
            })
            .unwrap();
        });
        assert_eq!(
            text,
            format!(
                "h1 $ swarmlet info\n    Swarm: active\n  ✔ it is there{}0.0 s\n\n",
                " ".repeat(60)
            )
        );
    }

    #[test]
    fn a_step_that_fails_says_so_and_ends_the_story() {
        let text = told(|t| {
            let done: Result<()> = t.step("h1", "x", "it works", |_| bail!("no"));
            assert_eq!(done.unwrap_err().to_string(), "no");
        });
        assert!(text.contains("  ✘ it works"), "{text}");
    }

    #[test]
    fn nothing_is_wider_than_the_page() {
        let long = "word ".repeat(40);
        let text = told(|t| {
            t.step("h1", long.trim(), "claim", |notes| {
                notes.say(&long);
                Ok(())
            })
            .unwrap();
        });
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(text.contains(" \\\n      word"), "{text}");
    }

    #[test]
    fn an_expectation_that_is_not_met_tells_both_sides() {
        let error = expect("rain", Duration::ZERO, || -> Result<()> { bail!("sun") }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected: rain\nseen:     sun, 0 s later"
        );
    }
}
