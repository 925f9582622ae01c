//! What the templates of one task may take, all of them together.
//!
//! Values are shared and never copied, so all that a template holds in memory is
//! what it made, and that is counted as work when it is made. With what its text
//! becomes when it is read, and with what comes out, one task takes no more than
//! about 32 MB and 100 ms of a small ARM core.

use std::fmt;

use super::{TemplateError, error};

/// Tokens, nodes, commands, operands, rounds of a loop.
const MAX_STEPS: usize = 50_000;
/// Bytes of the templates themselves, and of the values that functions look at
/// and make.
const MAX_WORK: usize = 8 << 20;
/// Bytes of what all of them become.
const MAX_OUTPUT: usize = 8 << 20;
/// Bytes of one value, and of what one template becomes: twice the largest config.
pub(super) const MAX_TEXT: usize = 2 << 20;

/// What is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Budget {
    steps: usize,
    work: usize,
    output: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            steps: MAX_STEPS,
            work: MAX_WORK,
            output: MAX_OUTPUT,
        }
    }
}

impl Budget {
    pub(super) fn step(&mut self, line: usize) -> Result<(), TemplateError> {
        let left = self.steps.checked_sub(1);
        self.steps = left.ok_or_else(|| error(line, "the templates take too many steps"))?;
        Ok(())
    }

    pub(super) fn work(&mut self, line: usize, bytes: usize) -> Result<(), TemplateError> {
        let left = self.work.checked_sub(bytes);
        self.work = left.ok_or_else(|| error(line, "the templates take too much work"))?;
        Ok(())
    }

    /// For what one template becomes.
    pub(super) fn output(&self) -> Bounded {
        Bounded::new(self.output.min(MAX_TEXT))
    }

    pub(super) fn written(&mut self, output: Bounded) -> String {
        self.output = self.output.saturating_sub(output.text.len());
        output.text
    }
}

/// Text that is refused what it has no room for.
#[derive(Debug)]
pub(super) struct Bounded {
    text: String,
    max: usize,
}

impl Bounded {
    pub(super) fn new(max: usize) -> Self {
        let text = String::new();
        Self { text, max }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() > self.max - self.text.len() {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
impl Budget {
    /// Steps, bytes of work and bytes of output that are gone.
    pub(super) fn spent(&self) -> (usize, usize, usize) {
        (
            MAX_STEPS - self.steps,
            MAX_WORK - self.work,
            MAX_OUTPUT - self.output,
        )
    }
}
