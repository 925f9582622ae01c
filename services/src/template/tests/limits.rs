//! Templates that are made to take all of a node.

use super::*;

const MB: usize = 1 << 20;

/// A secret as large as a config may be.
struct Large;

impl Lookup for Large {
    fn knows(&self, function: &str) -> bool {
        function == "large"
    }

    fn call(&self, _: &str, byte: &str) -> Result<String, String> {
        Ok(byte.repeat(MB))
    }
}

/// What comes out, and the steps, work and output that it takes.
fn taken(text: &str, context: &Value) -> (Result<String, String>, (usize, usize, usize)) {
    let mut budget = Budget::default();
    let filled = expand(text, context, &Large, &mut budget);
    let filled = filled.map_err(|error| error.reason);
    (filled, budget.spent())
}

fn check_bounded(text: &str, context: &Value, reason: &str) {
    let (filled, _) = taken(text, context);
    let error = filled.map(|text| text.len()).unwrap_err();
    assert!(error.contains(reason), "{error}");
}

fn many_labels() -> Value {
    let keys: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    with_labels(keys.iter().map(|key| (key.as_str(), "")))
}

#[test]
fn what_many_variables_hold_is_there_once() {
    let text = "{{$a := large \"x\"}}".to_owned() + &"{{$b := $a}}".repeat(900);
    let (filled, (_, work, _)) = taken(&text, &context());
    assert_eq!(filled.as_deref(), Ok(""));
    assert!(work < MB + MB / 8, "{work}");
    let a = Value::Text("x".into());
    let (Value::Text(one), Value::Text(other)) = (&a, &a.clone()) else {
        panic!("they are texts");
    };
    assert!(Rc::ptr_eq(one, other));
}

#[test]
fn variables_have_a_limit_and_those_of_a_loop_end_with_it() {
    let text = "{{$a := 1}}".repeat(1001);
    check_bounded(&text, &context(), "too many variables");
    assert!(super::super::check(&text, &Large).is_err());
    let text = "{{range $k, $v := .Service.Labels}}{{$x := $v}}{{end}}";
    let keys: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    let labels = with_labels(keys.iter().map(|key| (key.as_str(), "")));
    assert_eq!(taken(text, &labels).0.as_deref(), Ok(""));
}

#[test]
fn a_value_that_is_looked_at_is_not_copied() {
    let text = "{{$a := large \"x\"}}".to_owned() + &"{{if $a}}{{end}}".repeat(3000);
    let (filled, (_, work, _)) = taken(&text, &context());
    assert_eq!(filled.as_deref(), Ok(""));
    assert!(work < MB + MB / 8, "{work}");
}

#[test]
fn values_that_are_made_are_weighed() {
    let doubles = "{{$x = print $x $x}}".repeat(60);
    let text = format!("{{{{$x := \"{}\"}}}}{doubles}", "a".repeat(64));
    check_bounded(&text, &context(), "too much work");
    let text = "{{$a := large \"x\"}}{{$b := print $a}}".repeat(60);
    check_bounded(&text, &context(), "too much work");
    let text = "{{$a := large \"x\"}}{{if eq $a $a $a $a $a $a $a $a}}{{end}}";
    check_bounded(text, &context(), "too much work");
    let all = format!("{{{{print {}}}}}", ". ".repeat(1000));
    check_bounded(&all, &many_labels(), "too large");
    let quoted = "{{$a := large \"\u{1}\"}}{{printf \"%q\" $a}}";
    check_bounded(quoted, &context(), "too large");
}

#[test]
fn what_comes_out_is_limited() {
    let text = "{{$a := large \"x\"}}{{$a}}{{$a}}{{$a}}";
    check_bounded(text, &context(), "what the templates make is too large");
    let mut budget = Budget::default();
    let once = "{{$a := large \"x\"}}{{$a}}{{$a}}";
    let mut fill = || expand(once, &context(), &Large, &mut budget);
    let filled = std::iter::from_fn(|| fill().ok()).take(100).count();
    assert_eq!(filled, 4, "of 2 MB");
}

#[test]
fn rounds_of_a_loop_are_steps() {
    let text = "{{range $.Service.Labels}}".repeat(2) + &"{{end}}".repeat(2);
    check_bounded(&text, &many_labels(), "too many steps");
    let text = "{{range $.Service.Labels}}".repeat(20) + &"{{end}}".repeat(20);
    check_bounded(&text, &context(), "too many steps");
}

#[test]
fn reading_a_template_is_limited_too() {
    let dots = "{{.}}".repeat(200_000);
    check_bounded(&dots, &context(), "too many steps");
    let names = "{{$a := 1}}".repeat(900) + "{{$b := 1}}" + &"{{$b}}".repeat(80_000);
    check_bounded(&names, &context(), "too many steps");
    assert!(super::super::check(&names, &Large).is_err());
    let plain = "{{/* */}}".to_owned() + &"x".repeat(9 * MB);
    check_bounded(&plain, &context(), "too much work");
}

#[test]
fn nesting_is_limited() {
    let nested = "{{if true}}".repeat(1000) + &"{{end}}".repeat(1000);
    check_bounded(&nested, &context(), "nested too deeply");
    let parens = format!("{{{{{}1{}}}}}", "(".repeat(1000), ")".repeat(1000));
    check_bounded(&parens, &context(), "nested too deeply");
    let chain = "{{if 0}}{{else if 0}}".to_owned() + &"{{else if 0}}".repeat(1000) + "{{end}}";
    check_bounded(&chain, &context(), "nested too deeply");
}

#[test]
fn the_largest_config_is_filled_in() {
    let actions = "{{.Service.Name}} {{index .Service.Labels \"a\"}}\n".repeat(1000);
    let text = "x".repeat(1_023_999 - actions.len()) + &actions;
    let (filled, (steps, work, _)) = taken(&text, &context());
    assert!(filled.unwrap().ends_with("web 1\n"));
    assert!(steps < 25_000 && work < 2 * MB, "{steps} {work}");
}
