//! From tokens to a tree.

use std::rc::Rc;

use super::lexer::{Kind, Token};
use super::scope::Scope;
use super::{Lookup, TemplateError, error, functions};

/// Of blocks and parentheses in each other.
const MAX_DEPTH: usize = 50;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    pub(super) line: usize,
    /// Set to the value; in `range` there may be two.
    pub(super) variables: Vec<Rc<str>>,
    /// They are new.
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Value(Operand),
    Call(String, Vec<Operand>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// The value itself, then fields of it.
    Dot(Vec<String>),
    Variable(String, Vec<String>),
    Text(Rc<str>),
    Number(i64),
    Bool(bool),
    Nested(Box<Pipeline>, Vec<String>),
}

pub(super) fn parse(tokens: &[Token], lookup: &dyn Lookup) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser {
        tokens,
        lookup,
        depth: 0,
        variables: Scope::with_root(()),
    };
    let (nodes, end) = parser.block()?;
    match end {
        Stop::Eof => Ok(nodes),
        Stop::Else(line) => Err(error(line, "unexpected {{else}}")),
        Stop::End(line) => Err(error(line, "unexpected {{end}}")),
    }
}

/// What a block ended with; behind `else` the tokens may go on with `if`.
enum Stop {
    Eof,
    Else(usize),
    End(usize),
}

struct Parser<'a> {
    tokens: &'a [Token],
    lookup: &'a dyn Lookup,
    depth: usize,
    variables: Scope<()>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.first().map(|token| &token.kind)
    }

    fn line(&self) -> usize {
        self.tokens.first().map_or(0, |token| token.line)
    }

    fn next(&mut self) -> Option<Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first.clone())
    }

    fn take(&mut self, kind: &Kind) -> bool {
        let is_it = self.peek() == Some(kind);
        if is_it {
            self.tokens = &self.tokens[1..];
        }
        is_it
    }

    fn spaces(&mut self) {
        while self.take(&Kind::Space) {}
    }

    fn word(&mut self, word: &str) -> bool {
        self.take(&Kind::Word(word.to_owned()))
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        match self.depth > MAX_DEPTH {
            true => Err(error(self.line(), "the template is nested too deeply")),
            false => Ok(()),
        }
    }

    fn block(&mut self) -> Result<(Vec<Node>, Stop), TemplateError> {
        self.deeper()?;
        let known = self.variables.mark();
        let mut nodes = Vec::new();
        let end = loop {
            let Some(token) = self.next() else {
                break Stop::Eof;
            };
            match token.kind {
                Kind::Text(text) => nodes.push(Node::Text(text)),
                Kind::Open => {
                    self.spaces();
                    if self.word("end") {
                        self.close()?;
                        break Stop::End(token.line);
                    }
                    if self.word("else") {
                        break Stop::Else(token.line);
                    }
                    nodes.push(self.action(token.line)?);
                }
                _ => return Err(error(token.line, "unexpected token outside of an action")),
            }
        };
        self.variables.back(known);
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn close(&mut self) -> Result<(), TemplateError> {
        self.spaces();
        match self.take(&Kind::Close) {
            true => Ok(()),
            false => Err(error(self.line(), "unexpected token in action")),
        }
    }

    fn action(&mut self, line: usize) -> Result<Node, TemplateError> {
        for (word, make) in [
            ("if", Node::If as fn(Branch) -> Node),
            ("with", Node::With),
            ("range", Node::Range),
        ] {
            if self.word(word) {
                return Ok(make(self.branch(line, word)?));
            }
        }
        for word in ["template", "define", "block", "break", "continue"] {
            if self.word(word) {
                return Err(error(line, format!("{{{{{word}}}}} is not supported")));
            }
        }
        let pipeline = self.pipeline(line, false)?;
        self.close()?;
        Ok(Node::Print(pipeline))
    }

    fn branch(&mut self, line: usize, word: &str) -> Result<Branch, TemplateError> {
        self.deeper()?;
        let known = self.variables.mark();
        let pipeline = self.pipeline(line, word == "range")?;
        self.close()?;
        let (then, end) = self.block()?;
        let otherwise = match end {
            Stop::Eof => return Err(error(line, "unexpected EOF")),
            Stop::End(_) => Vec::new(),
            Stop::Else(line) => self.otherwise(line, word)?,
        };
        self.variables.back(known);
        self.depth -= 1;
        Ok(Branch {
            pipeline,
            then,
            otherwise,
        })
    }

    fn otherwise(&mut self, line: usize, word: &str) -> Result<Vec<Node>, TemplateError> {
        self.spaces();
        // `else if` is an `if` that is ended by the same `end`.
        if word != "range" && self.word(word) {
            let branch = self.branch(line, word)?;
            return Ok(vec![match word {
                "if" => Node::If(branch),
                _ => Node::With(branch),
            }]);
        }
        self.close()?;
        match self.block()? {
            (nodes, Stop::End(_)) => Ok(nodes),
            (_, Stop::Else(line)) => Err(error(line, "expected end; found {{else}}")),
            (_, Stop::Eof) => Err(error(line, "unexpected EOF")),
        }
    }

    fn pipeline(&mut self, line: usize, is_range: bool) -> Result<Pipeline, TemplateError> {
        self.deeper()?;
        let (variables, declares) = self.declaration(is_range)?;
        let mut commands = vec![self.command(line)?];
        loop {
            self.spaces();
            if !self.take(&Kind::Pipe) {
                break;
            }
            let command = self.command(line)?;
            if let Command::Value(_) = command {
                let reason = "non executable command in pipeline";
                return Err(error(line, reason));
            }
            commands.push(command);
        }
        // Known from here on, and not in its own value.
        if declares {
            for name in &variables {
                self.variables.declare(line, name, ())?;
            }
        }
        self.depth -= 1;
        Ok(Pipeline {
            line,
            variables,
            declares,
            commands,
        })
    }

    /// `$x :=`, `$x =` or `$k, $v :=`.
    fn declaration(&mut self, is_range: bool) -> Result<(Vec<Rc<str>>, bool), TemplateError> {
        let start = self.tokens;
        let mut names = Vec::new();
        loop {
            self.spaces();
            let Some(Kind::Variable(name)) = self.peek().cloned() else {
                break;
            };
            self.next();
            names.push(name.into());
            self.spaces();
            if self.take(&Kind::Declare) {
                return self.declared(names, true, is_range);
            }
            if self.take(&Kind::Assign) {
                return self.declared(names, false, is_range);
            }
            if !self.take(&Kind::Comma) {
                break;
            }
        }
        self.tokens = start;
        Ok((Vec::new(), false))
    }

    fn declared(
        &self,
        names: Vec<Rc<str>>,
        declares: bool,
        is_range: bool,
    ) -> Result<(Vec<Rc<str>>, bool), TemplateError> {
        if names.len() > if is_range { 2 } else { 1 } {
            return Err(error(self.line(), "too many declarations"));
        }
        if !declares {
            names.iter().try_for_each(|name| self.check_known(name))?;
        }
        Ok((names, declares))
    }

    fn check_known(&self, name: &str) -> Result<(), TemplateError> {
        match self.variables.get(name) {
            Some(()) => Ok(()),
            None => Err(error(
                self.line(),
                format!("undefined variable \"${name}\""),
            )),
        }
    }

    fn command(&mut self, line: usize) -> Result<Command, TemplateError> {
        self.spaces();
        if let Some(Kind::Word(name)) = self.peek().cloned()
            && !["true", "false", "nil"].contains(&name.as_str())
        {
            self.next();
            if !functions::is_known(&name) && !self.lookup.knows(&name) {
                return Err(error(line, format!("function {name:?} not defined")));
            }
            let mut arguments = Vec::new();
            while let Some(operand) = self.operand(line)? {
                arguments.push(operand);
            }
            return Ok(Command::Call(name, arguments));
        }
        let operand = self.operand(line)?;
        let operand = operand.ok_or_else(|| error(line, "missing value for command"))?;
        match self.operand(line)? {
            None => Ok(Command::Value(operand)),
            Some(_) => Err(error(line, "can't give argument to non-function")),
        }
    }

    /// `None` at the end of a command.
    fn operand(&mut self, line: usize) -> Result<Option<Operand>, TemplateError> {
        self.spaces();
        let Some(kind) = self.peek().cloned() else {
            return Err(error(line, "unclosed action"));
        };
        if matches!(kind, Kind::Close | Kind::Pipe | Kind::Right) {
            return Ok(None);
        }
        self.next();
        Ok(Some(match kind {
            Kind::Dot => Operand::Dot(Vec::new()),
            Kind::Field(name) => {
                let mut path = vec![name];
                path.extend(self.fields());
                Operand::Dot(path)
            }
            Kind::Variable(name) => {
                self.check_known(&name)?;
                Operand::Variable(name, self.fields())
            }
            Kind::Quoted(text) => Operand::Text(text.into()),
            Kind::Number(number) => Operand::Number(number),
            Kind::Word(word) if word == "true" || word == "false" => Operand::Bool(word == "true"),
            Kind::Word(word) if functions::is_known(&word) => {
                Operand::Nested(Box::new(of_call(line, word)), Vec::new())
            }
            Kind::Left => {
                let pipeline = self.pipeline(line, false)?;
                self.spaces();
                if !self.take(&Kind::Right) {
                    return Err(error(line, "unclosed left paren"));
                }
                Operand::Nested(Box::new(pipeline), self.fields())
            }
            Kind::Word(word) => return Err(error(line, format!("function {word:?} not defined"))),
            _ => return Err(error(line, "unexpected token in operand")),
        }))
    }

    /// `.A.B` right behind.
    fn fields(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        while let Some(Kind::Field(name)) = self.peek().cloned() {
            self.next();
            path.push(name);
        }
        path
    }
}

/// A function as an argument: called with none.
fn of_call(line: usize, name: String) -> Pipeline {
    Pipeline {
        line,
        variables: Vec::new(),
        declares: false,
        commands: vec![Command::Call(name, Vec::new())],
    }
}
