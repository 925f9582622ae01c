//! From text to tokens.

use super::{Budget, TemplateError, error};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Outside of actions.
    Text(String),
    /// `{{` and `}}`.
    Open,
    Close,
    /// `.`, alone.
    Dot,
    /// `.Name`; one after another they are a path.
    Field(String),
    /// `$name`, `$`.
    Variable(String),
    Word(String),
    Quoted(String),
    Number(i64),
    Pipe,
    Comma,
    /// `:=` and `=`.
    Declare,
    Assign,
    Left,
    Right,
    /// Between words: `f .A .B` is not `f .A.B`.
    Space,
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

pub(super) fn tokens(text: &str, budget: &mut Budget) -> Result<Vec<Token>, TemplateError> {
    budget.work(1, text.len())?;
    let mut lexer = Lexer {
        rest: text,
        line: 1,
        budget,
        tokens: Vec::new(),
    };
    while !lexer.rest.is_empty() {
        lexer.text()?;
        if !lexer.rest.is_empty() {
            lexer.action()?;
        }
    }
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    budget: &'a mut Budget,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn push(&mut self, kind: Kind) -> Result<(), TemplateError> {
        let line = self.line;
        self.budget.step(line)?;
        self.tokens.push(Token { line, kind });
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        let (gone, rest) = self.rest.split_at(bytes);
        self.line += gone.matches('\n').count();
        self.rest = rest;
    }

    /// Up to the next action.
    fn text(&mut self) -> Result<(), TemplateError> {
        let end = self.rest.find(OPEN).unwrap_or(self.rest.len());
        let text = &self.rest[..end];
        let shown = match trims_before(&self.rest[end..]) {
            true => text.trim_end(),
            false => text,
        };
        if !shown.is_empty() {
            self.push(Kind::Text(shown.to_owned()))?;
        }
        self.skip(end);
        Ok(())
    }

    fn action(&mut self) -> Result<(), TemplateError> {
        let marked = trims_before(self.rest);
        self.skip(if marked { OPEN.len() + 1 } else { OPEN.len() });
        let inner = self.rest.trim_start();
        if inner.starts_with("/*") {
            self.skip(self.rest.len() - inner.len());
            return self.comment();
        }
        self.push(Kind::Open)?;
        loop {
            let before = self.rest.len();
            let inner = self.rest.trim_start();
            let spaced = inner.len() < before;
            self.skip(before - inner.len());
            if spaced && self.rest.starts_with("-}}") {
                self.push(Kind::Close)?;
                self.skip(1 + CLOSE.len());
                self.trim();
                return Ok(());
            }
            if self.rest.starts_with(CLOSE) {
                self.push(Kind::Close)?;
                self.skip(CLOSE.len());
                return Ok(());
            }
            if self.rest.is_empty() {
                return Err(error(self.line, "unclosed action"));
            }
            if spaced {
                self.push(Kind::Space)?;
            }
            self.token()?;
        }
    }

    fn trim(&mut self) {
        let blank = self.rest.len() - self.rest.trim_start().len();
        self.skip(blank);
    }

    fn comment(&mut self) -> Result<(), TemplateError> {
        let end = self.rest.find("*/");
        let end = end.ok_or_else(|| error(self.line, "unclosed comment"))?;
        self.skip(end + 2);
        if self.rest.starts_with(CLOSE) {
            self.skip(CLOSE.len());
            return Ok(());
        }
        let inner = self.rest.trim_start();
        if inner.len() < self.rest.len() && inner.starts_with("-}}") {
            self.skip(self.rest.len() - inner.len() + 1 + CLOSE.len());
            self.trim();
            return Ok(());
        }
        Err(error(self.line, "comment ends before closing delimiter"))
    }

    fn token(&mut self) -> Result<(), TemplateError> {
        let first = self.rest.chars().next().unwrap_or_default();
        let single = match first {
            '|' => Some(Kind::Pipe),
            ',' => Some(Kind::Comma),
            '(' => Some(Kind::Left),
            ')' => Some(Kind::Right),
            '=' => Some(Kind::Assign),
            _ => None,
        };
        if let Some(kind) = single {
            self.push(kind)?;
            self.skip(1);
            return Ok(());
        }
        match first {
            ':' if self.rest.starts_with(":=") => {
                self.push(Kind::Declare)?;
                self.skip(2);
            }
            '.' => {
                let name = self.name(1);
                match name.is_empty() {
                    true => self.push(Kind::Dot)?,
                    false => self.push(Kind::Field(name.clone()))?,
                }
                self.skip(1 + name.len());
            }
            '$' => {
                let name = self.name(1);
                self.skip(1 + name.len());
                self.push(Kind::Variable(name))?;
            }
            '"' => return self.quoted(),
            '`' => return self.raw(),
            '0'..='9' | '+' | '-' => return self.number(),
            first if is_word(first) => {
                let name = self.name(0);
                self.skip(name.len());
                self.push(Kind::Word(name))?;
            }
            other => {
                let reason = format!("unexpected {other:?} in command");
                return Err(error(self.line, reason));
            }
        }
        Ok(())
    }

    /// The letters and digits behind `from` bytes.
    fn name(&self, from: usize) -> String {
        let rest = &self.rest[from..];
        rest.chars().take_while(|it| is_word(*it)).collect()
    }

    fn quoted(&mut self) -> Result<(), TemplateError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.push(Kind::Quoted(text))?;
                    self.skip(at + 1);
                    return Ok(());
                }
                '\n' => break,
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, same @ ('"' | '\\' | '\''))) => text.push(same),
                    _ => return Err(error(self.line, "unknown escape in quoted string")),
                },
                char => text.push(char),
            }
        }
        Err(error(self.line, "unterminated quoted string"))
    }

    fn raw(&mut self) -> Result<(), TemplateError> {
        let end = self.rest[1..].find('`');
        let end = end.ok_or_else(|| error(self.line, "unterminated raw quoted string"))?;
        let text = self.rest[1..=end].to_owned();
        self.push(Kind::Quoted(text))?;
        self.skip(end + 2);
        Ok(())
    }

    fn number(&mut self) -> Result<(), TemplateError> {
        let digits = self.rest[1..].find(|it: char| !is_word(it) && it != '.');
        let end = digits.map_or(self.rest.len(), |it| it + 1);
        let text = &self.rest[..end];
        let number = text.parse();
        let number =
            number.map_err(|_| error(self.line, format!("bad number syntax: {text:?}")))?;
        self.push(Kind::Number(number))?;
        self.skip(end);
        Ok(())
    }
}

fn is_word(char: char) -> bool {
    char == '_' || char.is_alphanumeric()
}

/// Whether the action that begins here takes the white space before it.
fn trims_before(action: &str) -> bool {
    let inner = action
        .strip_prefix(OPEN)
        .and_then(|it| it.strip_prefix('-'));
    inner.is_some_and(|inner| inner.starts_with(char::is_whitespace))
}
