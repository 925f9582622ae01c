//! Templates, as Go's `text/template` reads them: as much of it as placeholders
//! of services, secrets and configs are written in.
//!
//! Text with actions between `{{` and `}}`: fields of the context
//! (`.Service.Name`), variables, pipelines, `if`, `range`, `with`, comments and
//! trim markers, and the functions in `functions`. Templates come from users:
//! nesting and variables have limits, the templates of one task have one
//! [`Budget`] together, and whatever is wrong is an error that names its line. An
//! error shows names and types as they stand in the template, and never a value:
//! that may be a secret.

mod budget;
mod execute;
mod functions;
mod lexer;
mod parser;
mod scope;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::rc::Rc;

pub(crate) use budget::Budget;

/// What a template is filled with, and what it computes with. A clone shares
/// what it holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(Rc<str>),
    Number(i64),
    Bool(bool),
    /// Has just these fields.
    Fields(Rc<BTreeMap<&'static str, Value>>),
    /// Keys are the user's.
    Map(Rc<BTreeMap<Rc<str>, Rc<str>>>),
}

/// Nothing was made of the template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: expansion:{line}: {reason}")]
pub(crate) struct TemplateError {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) reason: String,
}

/// What a template may ask for by name.
pub(crate) trait Lookup {
    fn knows(&self, function: &str) -> bool;

    /// Of a function that it knows.
    ///
    /// # Errors
    /// Why there is no value, for people; the argument may be named.
    fn call(&self, function: &str, argument: &str) -> Result<String, String>;
}

/// No functions but the common ones.
pub(crate) struct Nothing;

impl Lookup for Nothing {
    fn knows(&self, _: &str) -> bool {
        false
    }

    fn call(&self, function: &str, _: &str) -> Result<String, String> {
        Err(format!("function {function:?} not defined"))
    }
}

/// Whether the text is more than itself.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{")
}

/// # Errors
/// What is wrong with the template, or with what it asks of the context; or
/// that the budget is spent.
pub(crate) fn expand(
    text: &str,
    context: &Value,
    lookup: &dyn Lookup,
    budget: &mut Budget,
) -> Result<String, TemplateError> {
    let nodes = read(text, lookup, budget)?;
    execute::execute(&nodes, context, lookup, budget)
}

/// Whether it can be read; what it asks of a context is not looked at.
pub(crate) fn check(text: &str, lookup: &dyn Lookup) -> Result<(), TemplateError> {
    read(text, lookup, &mut Budget::default()).map(drop)
}

fn read(
    text: &str,
    lookup: &dyn Lookup,
    budget: &mut Budget,
) -> Result<Vec<parser::Node>, TemplateError> {
    let tokens = lexer::tokens(text, budget)?;
    parser::parse(&tokens, lookup)
}

/// The beginning of what may be of any length, for an error.
pub(crate) fn shortened(text: &str) -> &str {
    const MAX_CHARS: usize = 256;
    let end = text.char_indices().nth(MAX_CHARS);
    end.map_or(text, |(end, _)| &text[..end])
}

fn error(line: usize, reason: impl AsRef<str>) -> TemplateError {
    let reason = shortened(reason.as_ref()).to_owned();
    TemplateError { line, reason }
}
