//! A plan for people to read: a line for everything that the project names, and
//! what changes below it.

use super::diff::Field;
use super::{FileChange, Plan, ServiceChange};

/// What a deploy would do.
pub fn show(plan: &Plan) -> String {
    let mut page = Page::default();
    for step in &plan.networks {
        let name = &step.request.name;
        match step.exists {
            false => page.line("create", &format!("network {name}")),
            true if step.differs.is_empty() => page.line("keep", &format!("network {name}")),
            true => {
                let text = format!("network {name}, which differs and cannot be changed");
                page.line("keep", &text);
                page.fields(&step.differs);
            }
        }
    }
    for step in &plan.files {
        let named = format!("{} {}", step.kind, step.spec.name);
        match &step.change {
            FileChange::Create { replaces: None } => page.line("create", &named),
            FileChange::Create {
                replaces: Some(old),
            } => {
                let text = format!("{named}, for {old} holds something else");
                page.line("create", &text);
            }
            FileChange::Label { fields, .. } => {
                page.line("change", &named);
                page.fields(fields);
            }
            FileChange::Keep { .. } => page.line("keep", &named),
        }
    }
    for (_, name) in &plan.unnamed {
        match plan.prune {
            true => page.line("remove", &format!("service {name}")),
            false => {
                let text = format!("service {name}, which no file names; --prune removes it");
                page.line("keep", &text);
            }
        }
    }
    for step in &plan.services {
        let named = format!("service {}", step.spec.name);
        match &step.change {
            ServiceChange::Create => page.line("create", &named),
            ServiceChange::Update { fields, .. } => {
                page.line("change", &named);
                page.fields(fields);
            }
            ServiceChange::Keep { .. } => page.line("keep", &named),
        }
    }
    for (kind, _, name) in &plan.outdated {
        page.line(
            "remove",
            &format!("{kind} {name}, which nothing uses any more"),
        );
    }
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, verb: &str, what: &str) {
        self.0.push_str(&format!("{verb:6} {}\n", one_line(what)));
    }

    fn fields(&mut self, fields: &[Field]) {
        for Field { path, old, new } in fields {
            self.0.push_str(&format!("         {}\n", one_line(path)));
            for (sign, lines) in [('-', old), ('+', new)] {
                for line in lines {
                    self.0
                        .push_str(&format!("         {sign} {}\n", one_line(line)));
                }
            }
        }
    }
}

/// A value must not break its line, nor speak to the terminal.
fn one_line(text: &str) -> String {
    let shown = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}
