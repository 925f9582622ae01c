//! A tree filled with values.

use std::fmt::{Display, Write};
use std::rc::Rc;

use super::budget::Bounded;
use super::functions::{call, is_known, is_true};
use super::parser::{Branch, Command, Node, Operand, Pipeline};
use super::scope::Scope;
use super::{Budget, Lookup, TemplateError, Value, error};

/// Bytes that a value takes besides its text.
const OVERHEAD: usize = 64;

pub(super) fn execute(
    nodes: &[Node],
    context: &Value,
    lookup: &dyn Lookup,
    budget: &mut Budget,
) -> Result<String, TemplateError> {
    let mut run = Run {
        out: budget.output(),
        budget,
        lookup,
        variables: Scope::with_root(context.clone()),
    };
    run.nodes(nodes, context)?;
    Ok(run.budget.written(run.out))
}

struct Run<'a> {
    out: Bounded,
    budget: &'a mut Budget,
    lookup: &'a dyn Lookup,
    variables: Scope<Value>,
}

impl Run<'_> {
    fn weigh(&mut self, line: usize, value: &Value) -> Result<(), TemplateError> {
        let text = match value {
            Value::Text(text) => text.len(),
            // Who prints them makes a text of them, which is weighed.
            Value::Number(_) | Value::Bool(_) | Value::Fields(_) | Value::Map(_) => 0,
        };
        self.budget.work(line, OVERHEAD + text)
    }

    fn write(&mut self, line: usize, shown: impl Display) -> Result<(), TemplateError> {
        write!(self.out, "{shown}").map_err(|_| error(line, "what the templates make is too large"))
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let known = self.variables.mark();
        for node in nodes {
            self.budget.step(0)?;
            match node {
                Node::Text(text) => self.write(0, text)?,
                Node::Print(pipeline) => {
                    let value = self.value(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.write(pipeline.line, value)?;
                    }
                }
                Node::If(branch) => self.branch(branch, dot, false)?,
                Node::With(branch) => self.branch(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
            }
        }
        self.variables.back(known);
        Ok(())
    }

    fn branch(&mut self, branch: &Branch, dot: &Value, with: bool) -> Result<(), TemplateError> {
        let known = self.variables.mark();
        let value = self.value(&branch.pipeline, dot)?;
        match is_true(&value) {
            true => self.nodes(&branch.then, if with { &value } else { dot })?,
            false => self.nodes(&branch.otherwise, dot)?,
        }
        self.variables.back(known);
        Ok(())
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<(), TemplateError> {
        let pipeline = &branch.pipeline;
        let value = self.commands(pipeline, dot)?;
        let Value::Map(map) = value else {
            let reason = format!("range can't iterate over {}", value.kind());
            return Err(error(pipeline.line, reason));
        };
        if map.is_empty() {
            return self.nodes(&branch.otherwise, dot);
        }
        for (key, value) in map.iter() {
            self.budget.step(pipeline.line)?;
            let known = self.variables.mark();
            let key = Value::Text(Rc::clone(key));
            let value = Value::Text(Rc::clone(value));
            match pipeline.variables.as_slice() {
                [] => {}
                [only] => self.set(pipeline, only, value.clone())?,
                [first, second, ..] => {
                    self.set(pipeline, first, key)?;
                    self.set(pipeline, second, value.clone())?;
                }
            }
            self.nodes(&branch.then, &value)?;
            self.variables.back(known);
        }
        Ok(())
    }

    fn set(
        &mut self,
        pipeline: &Pipeline,
        name: &Rc<str>,
        value: Value,
    ) -> Result<(), TemplateError> {
        if pipeline.declares {
            self.variables.declare(pipeline.line, name, value)?;
        } else if let Some(known) = self.variables.get_mut(name) {
            *known = value;
        }
        Ok(())
    }

    fn value(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let value = self.commands(pipeline, dot)?;
        if let [name] = pipeline.variables.as_slice() {
            self.set(pipeline, name, value.clone())?;
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let line = pipeline.line;
        let mut piped: Option<Value> = None;
        for command in &pipeline.commands {
            self.budget.step(line)?;
            piped = Some(match command {
                Command::Value(operand) => self.operand(line, operand, dot)?,
                Command::Call(name, operands) => {
                    let written =
                        piped.is_none() && matches!(operands.as_slice(), [Operand::Text(_)]);
                    let mut arguments = Vec::new();
                    for operand in operands {
                        arguments.push(self.operand(line, operand, dot)?);
                    }
                    arguments.extend(piped.take());
                    for argument in &arguments {
                        self.weigh(line, argument)?;
                    }
                    let made = match is_known(name) {
                        true => call(name, &arguments),
                        false => self.look_up(name, &arguments, written),
                    };
                    let made = made
                        .map_err(|reason| error(line, format!("error calling {name}: {reason}")))?;
                    self.weigh(line, &made)?;
                    made
                }
            });
        }
        piped.ok_or_else(|| error(line, "missing value for command"))
    }

    /// `written`: what is asked for stands in the template, and may be told.
    fn look_up(&self, name: &str, arguments: &[Value], written: bool) -> Result<Value, String> {
        let [Value::Text(argument)] = arguments else {
            return Err("it takes one string".to_owned());
        };
        match self.lookup.call(name, argument) {
            Ok(found) => Ok(Value::Text(found.into())),
            Err(reason) if written => Err(reason),
            Err(_) => Err("there is nothing of the name that was computed".to_owned()),
        }
    }

    fn operand(
        &mut self,
        line: usize,
        operand: &Operand,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        self.budget.step(line)?;
        match operand {
            Operand::Text(text) => Ok(Value::Text(Rc::clone(text))),
            Operand::Number(number) => Ok(Value::Number(*number)),
            Operand::Bool(bool) => Ok(Value::Bool(*bool)),
            Operand::Dot(path) => follow(line, dot, path),
            Operand::Variable(name, path) => match self.variables.get(name) {
                Some(value) => follow(line, value, path),
                None => Err(error(line, format!("undefined variable \"${name}\""))),
            },
            Operand::Nested(pipeline, path) => {
                let value = self.value(pipeline, dot)?;
                follow(line, &value, path)
            }
        }
    }
}

fn follow(line: usize, value: &Value, path: &[String]) -> Result<Value, TemplateError> {
    let Some((name, rest)) = path.split_first() else {
        return Ok(value.clone());
    };
    match value {
        Value::Fields(fields) => match fields.get(name.as_str()) {
            Some(next) => follow(line, next, rest),
            None => Err(no_field(line, name)),
        },
        Value::Map(map) => match (map.get(name.as_str()), rest) {
            (Some(text), []) => Ok(Value::Text(Rc::clone(text))),
            (Some(_), [field, ..]) => Err(no_field(line, field)),
            (None, _) => Err(error(line, format!("map has no entry for key {name:?}"))),
        },
        Value::Text(_) | Value::Number(_) | Value::Bool(_) => Err(no_field(line, name)),
    }
}

fn no_field(line: usize, name: &str) -> TemplateError {
    error(line, format!("can't evaluate field {name}"))
}
