//! A page of `Name: value` lines, the values one below the other.

use crate::api::dto::Labels;

pub struct Page {
    text: String,
    /// Where values begin.
    column: usize,
}

impl Page {
    pub fn new(column: usize) -> Self {
        Self {
            text: String::new(),
            column,
        }
    }

    pub fn line(&mut self, depth: usize, name: &str, value: &str) {
        let name = format!("{}{name}:", " ".repeat(depth));
        let column = self.column;
        self.text.push_str(&format!("{name:<column$} {value}\n"));
    }

    /// Where `value` is not empty.
    pub fn some(&mut self, depth: usize, name: &str, value: &str) {
        if !value.is_empty() {
            self.line(depth, name, value);
        }
    }

    pub fn head(&mut self, name: &str) {
        self.head_at(0, name);
    }

    pub fn head_at(&mut self, depth: usize, name: &str) {
        self.text
            .push_str(&format!("{}{name}:\n", " ".repeat(depth)));
    }

    pub fn pairs(&mut self, name: &str, pairs: &Labels) {
        if pairs.is_empty() {
            return;
        }
        self.head(name);
        for (key, value) in pairs {
            let equals = if value.is_empty() { "" } else { "=" };
            self.text.push_str(&format!(" - {key}{equals}{value}\n"));
        }
    }

    /// Lines as they are.
    pub fn text(&mut self, lines: &str) {
        self.text.push_str(lines.trim_end());
        self.text.push('\n');
    }

    pub fn finish(self) -> String {
        self.text
    }
}
