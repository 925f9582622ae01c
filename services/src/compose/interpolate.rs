//! Variables in the values of files: `$NAME`, `${NAME:-default}` and the other
//! forms of the Compose specification, which may hold each other.

use std::collections::BTreeSet;

/// How many forms may be within each other.
const MAX_DEPTH: usize = 16;
/// Bytes that one value may grow to.
const MAX_LENGTH: usize = 1 << 20;

/// A value with its variables in it, and those that nobody has set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Interpolated {
    pub text: String,
    pub unset: BTreeSet<String>,
}

/// # Errors
/// What is wrong with the text, or what a `${NAME:?text}` says.
pub(super) fn interpolate<'e>(
    text: &str,
    environment: impl Fn(&str) -> Option<&'e str>,
) -> Result<Interpolated, String> {
    let mut scan = Scan {
        rest: text,
        environment,
        unset: BTreeSet::new(),
        length: 0,
        is_used: true,
    };
    let expanded = scan.until(None, 0)?;
    Ok(Interpolated {
        text: expanded,
        unset: scan.unset,
    })
}

struct Scan<'a, F> {
    rest: &'a str,
    environment: F,
    unset: BTreeSet<String>,
    length: usize,
    /// What is read will be in the result.
    is_used: bool,
}

impl<'a, 'e, F: Fn(&str) -> Option<&'e str>> Scan<'a, F> {
    /// Up to the end of the text, or to the `}` that ends a form.
    fn until(&mut self, end: Option<char>, depth: usize) -> Result<String, String> {
        if depth > MAX_DEPTH {
            return Err(format!(
                "more than {MAX_DEPTH} variables are within each other"
            ));
        }
        let mut out = String::new();
        // Braces that are text stand in pairs, as in `${A:-{"b": 1}}`.
        let mut braces = 0_usize;
        loop {
            let special = self.rest.find(['$', '{', '}']).unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at(special);
            self.put(&mut out, text)?;
            let Some(c) = rest.chars().next() else {
                self.rest = rest;
                return match end {
                    Some(_) => Err("a \"${\" is not closed by a \"}\"".to_owned()),
                    None => Ok(out),
                };
            };
            self.rest = &rest[1..];
            match c {
                '$' => {
                    let value = self.variable(depth)?;
                    self.put(&mut out, &value)?;
                }
                '}' if end.is_some() && braces == 0 => return Ok(out),
                '}' => {
                    braces = braces.saturating_sub(1);
                    self.put(&mut out, "}")?;
                }
                _ => {
                    braces += 1;
                    self.put(&mut out, "{")?;
                }
            }
        }
    }

    fn put(&mut self, out: &mut String, text: &str) -> Result<(), String> {
        self.length += text.len();
        if self.length > MAX_LENGTH {
            return Err(format!(
                "with its variables this has more than {MAX_LENGTH} bytes"
            ));
        }
        out.push_str(text);
        Ok(())
    }

    /// What stands behind a `$`.
    fn variable(&mut self, depth: usize) -> Result<String, String> {
        if let Some(rest) = self.rest.strip_prefix('$') {
            self.rest = rest;
            return Ok("$".to_owned());
        }
        if let Some(rest) = self.rest.strip_prefix('{') {
            self.rest = rest;
            return self.form(depth);
        }
        match self.name() {
            "" => {
                Err("a \"$\" must be followed by a variable; one that is text is \"$$\"".to_owned())
            }
            name => Ok(self.value_or_blank(name).to_owned()),
        }
    }

    fn name(&mut self) -> &'a str {
        let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        let end = match self.rest.starts_with(letter) {
            true => self.rest.find(|c: char| !letter(c) && !c.is_ascii_digit()),
            false => Some(0),
        };
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        name
    }

    fn value_or_blank(&mut self, name: &str) -> &'e str {
        let value = (self.environment)(name);
        if value.is_none() && self.is_used {
            self.unset.insert(name.to_owned());
        }
        value.unwrap_or_default()
    }

    /// What stands behind a `${`, with its `}`.
    fn form(&mut self, depth: usize) -> Result<String, String> {
        let name = self.name();
        if name.is_empty() {
            return Err(
                "a \"${\" must be followed by a variable; one that is text is \"$${\"".to_owned(),
            );
        }
        let operators = [":-", ":?", ":+", "-", "?", "+", "}"];
        let found = operators
            .into_iter()
            .find_map(|operator| Some((operator, self.rest.strip_prefix(operator)?)));
        let Some((operator, rest)) = found else {
            return Err(format!(
                "after \"${{{name}\" comes one of {} or \"}}\"",
                operators[..6].join(" ")
            ));
        };
        self.rest = rest;
        if operator == "}" {
            return Ok(self.value_or_blank(name).to_owned());
        }
        let value = (self.environment)(name);
        let value = match operator.starts_with(':') {
            true => value.filter(|value| !value.is_empty()),
            false => value,
        };
        let is_used = self.is_used;
        self.is_used &= value.is_none() != operator.ends_with('+');
        let other = self.until(Some('}'), depth + 1)?;
        self.is_used = is_used;
        match (operator.trim_start_matches(':'), value) {
            ("-", value) => Ok(value.map_or(other, str::to_owned)),
            ("+", value) => Ok(value.map(|_| other).unwrap_or_default()),
            (_, Some(value)) => Ok(value.to_owned()),
            _ if !is_used => Ok(String::new()),
            (_, None) if other.is_empty() => Err(format!("the variable {name} must be set")),
            (_, None) => Err(format!("the variable {name} must be set: {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<&'static str> {
        let set = [("A", "a"), ("EMPTY", ""), ("DOLLAR", "$A"), ("_X1", "x")];
        let found = set.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }

    fn expand(text: &str) -> Result<String, String> {
        interpolate(text, environment).map(|done| done.text)
    }

    #[test]
    fn every_form_means_what_a_shell_means_by_it() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("$A-${A}", "a-a"),
            ("$_X1/$Ab", "x/"),
            ("$$A $${A}", "$A ${A}"),
            ("${A:-d}${A-d}", "aa"),
            ("${EMPTY:-d}${EMPTY-d}", "d"),
            ("${NO:-d}${NO-d}", "dd"),
            ("${A:+b}${A+b}", "bb"),
            ("${EMPTY:+b}${EMPTY+b}", "b"),
            ("${NO:+b}${NO+b}", ""),
            ("${A:?e}${EMPTY?e}", "a"),
            ("${NO:-${A}}", "a"),
            ("${NO:-${NO2:-$A b}}", "a b"),
            ("${NO:-a:b-c}", "a:b-c"),
            ("${NO:-{\"b\": 1}}", "{\"b\": 1}"),
            ("${NO:-$$}", "$"),
            ("${A:-${NO:?never}}${A:-${NO:-${NO:?}}}", "aa"),
            ("$DOLLAR", "$A"),
            ("{{.Node.Hostname}} }", "{{.Node.Hostname}} }"),
            ("ü$A", "üa"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused_with_its_reason() {
        for (text, why) in [
            (
                "$",
                "a \"$\" must be followed by a variable; one that is text is \"$$\"",
            ),
            (
                "^a$/",
                "a \"$\" must be followed by a variable; one that is text is \"$$\"",
            ),
            (
                "$1",
                "a \"$\" must be followed by a variable; one that is text is \"$$\"",
            ),
            (
                "${}",
                "a \"${\" must be followed by a variable; one that is text is \"$${\"",
            ),
            ("${A", "after \"${A\" comes one of :- :? :+ - ? + or \"}\""),
            (
                "${A!}",
                "after \"${A\" comes one of :- :? :+ - ? + or \"}\"",
            ),
            ("${NO:-b", "a \"${\" is not closed by a \"}\""),
            ("${NO:?}", "the variable NO must be set"),
            ("${EMPTY:?say $A}", "the variable EMPTY must be set: say a"),
        ] {
            assert_eq!(expand(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn variables_that_are_not_set_are_named_where_they_are_used() {
        let unset = |text| {
            interpolate(text, environment)
                .unwrap()
                .unset
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(unset("$NO ${NO2} ${NO3:-x} ${NO4:+x}"), ["NO", "NO2"]);
        assert_eq!(unset("${A:-$NO}${A:+$NO}"), ["NO"]);
    }

    #[test]
    fn what_a_value_may_grow_to_is_bounded() {
        let deep = "${N:-".repeat(100) + &"}".repeat(100);
        assert_eq!(
            expand(&deep).unwrap_err(),
            "more than 16 variables are within each other"
        );
        let large = "x".repeat(1 << 19);
        let large = |_: &str| Some(large.as_str());
        assert!(interpolate("$B$B", large).is_ok());
        assert!(interpolate("$B$B$B", large).is_err());
        // Nothing is copied that is not in the result.
        assert!(interpolate(&"${B:+}".repeat(100_000), large).is_ok());
    }
}
