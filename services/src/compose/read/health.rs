//! `healthcheck`.

use super::super::item::Item;
use super::duration;
use crate::spec::Healthcheck;

pub(super) fn read_health(item: &Item<'_>) -> Option<Healthcheck> {
    let mut fields = item.fields()?;
    let mut health = Healthcheck {
        test: fields.or_default("test", read_test),
        interval: fields.get("interval", duration),
        timeout: fields.get("timeout", duration),
        start_period: fields.get("start_period", duration),
        start_interval: fields.get("start_interval", duration),
        retries: fields.get("retries", |item| item.number(0, i32::MAX.unsigned_abs())),
    };
    if fields.or_default("disable", Item::boolean) {
        if !health.test.is_empty() && health.test != ["NONE"] {
            fields.error_at(
                "disable",
                "a check that has a `test` cannot be disabled, too",
            );
        }
        health.test = vec!["NONE".to_owned()];
    }
    fields.finish();
    Some(health)
}

/// A text is a line for the container's shell.
fn read_test(item: &Item<'_>) -> Option<Vec<String>> {
    if let Some(text) = item.node.as_text() {
        return Some(vec!["CMD-SHELL".to_owned(), text.to_owned()]);
    }
    let test = item.list_of(Item::text)?;
    match test.first().map(String::as_str) {
        None | Some("NONE" | "CMD" | "CMD-SHELL") => Some(test),
        Some(first) => {
            item.error(format!(
                "{first:?} must be NONE, CMD or CMD-SHELL, and the command follow it"
            ));
            None
        }
    }
}
