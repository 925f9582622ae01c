//! A tree filled with values.

use super::functions::{call, is_true, show};
use super::parser::{Branch, Command, Node, Operand, Pipeline};
use super::{Lookup, TemplateError, Value, error};

/// Nodes and commands that one template may take.
const MAX_STEPS: usize = 100_000;
/// Bytes; twice the largest config.
const MAX_OUTPUT: usize = 2 << 20;
/// Bytes of all values that it looks at: each step may double one.
const MAX_WORK: usize = 64 << 20;

pub(super) fn execute(
    nodes: &[Node],
    context: &Value,
    lookup: &dyn Lookup,
) -> Result<String, TemplateError> {
    let mut run = Run {
        out: String::new(),
        steps: 0,
        work: 0,
        lookup,
        variables: vec![(String::new(), context.clone())],
    };
    run.nodes(nodes, context)?;
    Ok(run.out)
}

struct Run<'a> {
    out: String,
    steps: usize,
    work: usize,
    lookup: &'a dyn Lookup,
    variables: Vec<(String, Value)>,
}

impl Run<'_> {
    fn step(&mut self, line: usize) -> Result<(), TemplateError> {
        self.steps += 1;
        match self.steps > MAX_STEPS {
            true => Err(error(line, "the template takes too many steps")),
            false => Ok(()),
        }
    }

    fn weigh(&mut self, line: usize, value: &Value) -> Result<(), TemplateError> {
        self.work += size(value);
        match self.work > MAX_WORK {
            true => Err(error(line, "the template takes too much work")),
            false => Ok(()),
        }
    }

    fn write(&mut self, line: usize, text: &str) -> Result<(), TemplateError> {
        if self.out.len() + text.len() > MAX_OUTPUT {
            return Err(error(line, "what the template makes is too large"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let known = self.variables.len();
        for node in nodes {
            self.step(0)?;
            match node {
                Node::Text(text) => self.write(0, text)?,
                Node::Print(pipeline) => {
                    let value = self.value(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.write(pipeline.line, &show(&value))?;
                    }
                }
                Node::If(branch) => self.branch(branch, dot, false)?,
                Node::With(branch) => self.branch(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
            }
        }
        self.variables.truncate(known);
        Ok(())
    }

    fn branch(&mut self, branch: &Branch, dot: &Value, with: bool) -> Result<(), TemplateError> {
        let known = self.variables.len();
        let value = self.value(&branch.pipeline, dot)?;
        match is_true(&value) {
            true => self.nodes(&branch.then, if with { &value } else { dot })?,
            false => self.nodes(&branch.otherwise, dot)?,
        }
        self.variables.truncate(known);
        Ok(())
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<(), TemplateError> {
        let pipeline = &branch.pipeline;
        let value = self.commands(pipeline, dot)?;
        let Value::Map(map) = value else {
            let reason = format!("range can't iterate over {}", show(&value));
            return Err(error(pipeline.line, reason));
        };
        if map.is_empty() {
            return self.nodes(&branch.otherwise, dot);
        }
        for (key, value) in map {
            let known = self.variables.len();
            let (key, value) = (Value::Text(key), Value::Text(value));
            match pipeline.variables.as_slice() {
                [] => {}
                [only] => self.set(pipeline, only, value.clone()),
                [first, second, ..] => {
                    self.set(pipeline, first, key);
                    self.set(pipeline, second, value.clone());
                }
            }
            self.nodes(&branch.then, &value)?;
            self.variables.truncate(known);
        }
        Ok(())
    }

    fn set(&mut self, pipeline: &Pipeline, name: &str, value: Value) {
        if pipeline.declares {
            self.variables.push((name.to_owned(), value));
        } else if let Some((_, known)) = self.known(name) {
            *known = value;
        }
    }

    fn known(&mut self, name: &str) -> Option<&mut (String, Value)> {
        let mut newest = self.variables.iter_mut().rev();
        newest.find(|(known, _)| known == name)
    }

    fn value(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let value = self.commands(pipeline, dot)?;
        if let [name] = pipeline.variables.as_slice() {
            self.set(pipeline, name, value.clone());
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let line = pipeline.line;
        let mut piped: Option<Value> = None;
        for command in &pipeline.commands {
            self.step(line)?;
            piped = Some(match command {
                Command::Value(operand) => self.operand(line, operand, dot)?,
                Command::Call(name, operands) => {
                    let mut arguments = Vec::new();
                    for operand in operands {
                        let value = self.operand(line, operand, dot)?;
                        self.weigh(line, &value)?;
                        arguments.push(value);
                    }
                    if let Some(value) = piped.take() {
                        self.weigh(line, &value)?;
                        arguments.push(value);
                    }
                    self.call(line, name, &arguments)?
                }
            });
        }
        piped.ok_or_else(|| error(line, "missing value for command"))
    }

    fn call(&self, line: usize, name: &str, arguments: &[Value]) -> Result<Value, TemplateError> {
        let failed = |reason: String| error(line, format!("error calling {name}: {reason}"));
        if super::functions::is_known(name) {
            return call(name, arguments).map_err(failed);
        }
        let [Value::Text(argument)] = arguments else {
            return Err(failed("it takes one string".to_owned()));
        };
        match self.lookup.call(name, argument) {
            Some(found) => found.map(Value::Text).map_err(failed),
            None => Err(error(line, format!("function {name:?} not defined"))),
        }
    }

    fn operand(
        &mut self,
        line: usize,
        operand: &Operand,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        match operand {
            Operand::Text(text) => Ok(Value::Text(text.clone())),
            Operand::Number(number) => Ok(Value::Number(*number)),
            Operand::Bool(bool) => Ok(Value::Bool(*bool)),
            Operand::Dot(path) => follow(line, dot, path),
            Operand::Variable(name, path) => {
                let known = self.known(name).map(|(_, value)| value.clone());
                let value =
                    known.ok_or_else(|| error(line, format!("undefined variable \"${name}\"")))?;
                follow(line, &value, path)
            }
            Operand::Nested(pipeline, path) => {
                let value = self.value(pipeline, dot)?;
                follow(line, &value, path)
            }
        }
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Number(_) | Value::Bool(_) => 1,
        Value::Fields(fields) => fields.values().map(size).sum(),
        Value::Map(map) => map.iter().map(|(key, value)| key.len() + value.len()).sum(),
    }
}

fn follow(line: usize, value: &Value, path: &[String]) -> Result<Value, TemplateError> {
    let Some((name, rest)) = path.split_first() else {
        return Ok(value.clone());
    };
    let next = match value {
        Value::Fields(fields) => fields.get(name.as_str()).cloned(),
        Value::Map(map) => match map.get(name) {
            Some(text) => Some(Value::Text(text.clone())),
            None => return Err(error(line, format!("map has no entry for key {name:?}"))),
        },
        _ => None,
    };
    let next = next.ok_or_else(|| error(line, format!("can't evaluate field {name}")))?;
    follow(line, &next, rest)
}
