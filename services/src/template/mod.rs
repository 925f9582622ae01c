//! Templates, as Go's `text/template` reads them: as much of it as placeholders
//! of services, secrets and configs are written in.
//!
//! Text with actions between `{{` and `}}`: fields of the context
//! (`.Service.Name`), variables, pipelines, `if`, `range`, `with`, comments and
//! trim markers, and the functions in `functions`. Templates come from users:
//! nesting, steps and output have limits, and whatever is wrong is an error that
//! names its line.

mod execute;
mod functions;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

/// What a template is filled with, and what it computes with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Bool(bool),
    /// Has just these fields.
    Fields(BTreeMap<&'static str, Value>),
    /// Keys are the user's.
    Map(BTreeMap<String, String>),
}

/// Nothing was made of the template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: expansion:{line}: {reason}")]
pub(crate) struct TemplateError {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) reason: String,
}

/// What a template may ask for by name; `None` where there is no such function.
pub(crate) trait Lookup {
    /// # Errors
    /// Why there is no value, for people.
    fn call(&self, function: &str, argument: &str) -> Option<Result<String, String>>;
}

/// No functions but the common ones.
pub(crate) struct Nothing;

impl Lookup for Nothing {
    fn call(&self, _: &str, _: &str) -> Option<Result<String, String>> {
        None
    }
}

/// Whether the text is more than itself.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{")
}

/// # Errors
/// What is wrong with the template, or with what it asks of the context.
pub(crate) fn expand(
    text: &str,
    context: &Value,
    lookup: &dyn Lookup,
) -> Result<String, TemplateError> {
    let tokens = lexer::tokens(text)?;
    let nodes = parser::parse(&tokens, lookup)?;
    execute::execute(&nodes, context, lookup)
}

/// Whether it can be read; what it asks of a context is not looked at.
pub(crate) fn check(text: &str, lookup: &dyn Lookup) -> Result<(), TemplateError> {
    let tokens = lexer::tokens(text)?;
    parser::parse(&tokens, lookup).map(drop)
}

fn error(line: usize, reason: impl Into<String>) -> TemplateError {
    let reason = reason.into();
    TemplateError { line, reason }
}
