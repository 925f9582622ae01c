//! Lines of progress on a terminal, or in a file.

use std::collections::BTreeMap;
use std::io::{self, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Line, STATES};

/// Where lines of progress go.
#[derive(Debug)]
pub enum Drawing {
    /// Nowhere: `--quiet`.
    Quiet,
    /// A terminal: a line stays in its place and changes there.
    Bars {
        all: MultiProgress,
        bars: BTreeMap<String, ProgressBar>,
    },
    /// Anything else: a line is written when it is new.
    Plain { shown: BTreeMap<String, String> },
}

impl Drawing {
    /// `terminal`: standard output is one.
    pub fn new(quiet: bool, terminal: bool) -> Self {
        if quiet {
            return Self::Quiet;
        }
        if terminal {
            return Self::Bars {
                all: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
                bars: BTreeMap::new(),
            };
        }
        Self::Plain {
            shown: BTreeMap::new(),
        }
    }

    pub fn show(&mut self, lines: &[Line], out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Quiet => {}
            Self::Bars { all, bars } => {
                for line in lines {
                    let bar = bars
                        .entry(line.id.clone())
                        .or_insert_with(|| all.add(ProgressBar::new(STATES.len() as u64)));
                    draw(bar, line);
                }
            }
            Self::Plain { shown } => {
                for line in lines {
                    if shown.get(&line.id) != Some(&line.text) {
                        writeln!(out, "{}: {}", line.id, line.text)?;
                        shown.insert(line.id.clone(), line.text.clone());
                    }
                }
                out.flush()?;
            }
        }
        Ok(())
    }

    /// Leaves the lines as they are and goes below them.
    pub fn finish(self) {
        if let Self::Bars { bars, .. } = self {
            for bar in bars.values() {
                bar.abandon();
            }
        }
    }
}

/// A line that is wider than the terminal would be drawn again below itself: that of
/// a job's progress fits 80 columns.
fn draw(bar: &ProgressBar, line: &Line) {
    let template = match line.reached {
        Some(_) => "{prefix}: {msg:10} [{bar:40}]",
        None => "{prefix}: {wide_msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_length(line.of as u64);
    bar.set_prefix(line.id.clone());
    bar.set_message(line.text.clone());
    bar.set_position(line.reached.unwrap_or(0) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_a_line_is_written_when_it_changes() {
        let mut drawing = Drawing::Plain {
            shown: BTreeMap::new(),
        };
        let mut out = Vec::new();
        let line = |text: &str| [Line::new("1/2", text)];
        for text in ["pending", "pending", "running", "pending"] {
            drawing.show(&line(text), &mut out).unwrap();
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "1/2: pending\n1/2: running\n1/2: pending\n"
        );
    }

    #[test]
    fn quiet_is_quiet() {
        let mut out = Vec::new();
        let lines = [Line::new("verify", "x")];
        Drawing::Quiet.show(&lines, &mut out).unwrap();
        assert!(out.is_empty());
    }
}
