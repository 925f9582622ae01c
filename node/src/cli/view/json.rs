//! JSON as it came, with line breaks.

/// Four spaces a level, keys in the order in which they came. `text` is JSON;
/// anything else comes out as some text, too.
pub fn indent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth: usize = 0;
    let mut chars = text.chars().filter(|c| !c.is_control()).peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push(c);
                let mut escaped = false;
                for c in chars.by_ref() {
                    out.push(c);
                    match c {
                        '"' if !escaped => break,
                        '\\' => escaped = !escaped,
                        _ => escaped = false,
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| *c == ' ').is_some() {}
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        new_line(depth, &mut out);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(depth, &mut out);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(depth, &mut out);
            }
            ':' => out.push_str(": "),
            ' ' => {}
            c => out.push(c),
        }
    }
    out
}

fn new_line(depth: usize, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n("    ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_without_being_reordered() {
        insta::assert_snapshot!(
            indent(r#"{"b":[1, {"x":"a,{\"}"}],"a":{},"c":[ ],"d":null}"#),
            @r#"
        {
            "b": [
                1,
                {
                    "x": "a,{\"}"
                }
            ],
            "a": {},
            "c": [],
            "d": null
        }
        "#
        );
    }

    #[test]
    fn indented_json_means_the_same() {
        let text = r#"[{"a":"\\","b":"\\\"","c":" : , "},{"d":-1.5e3}]"#;
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&indent(text)), read(text));
    }
}
