use proptest::prelude::*;

use super::*;

mod fuzz;
mod limits;

/// `secret "s"` is `<s>`, and there is none called `gone`.
struct Secrets;

impl Lookup for Secrets {
    fn knows(&self, function: &str) -> bool {
        function == "secret"
    }

    fn call(&self, _: &str, argument: &str) -> Result<String, String> {
        match argument {
            "gone" | "<pw>" => Err(format!("secret target {argument} not found")),
            argument => Ok(format!("<{argument}>")),
        }
    }
}

fn context() -> Value {
    with_labels([("a", "1"), ("com.example/b", "2")])
}

fn with_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let text = |text: &str| Value::Text(text.into());
    let fields = |fields| Value::Fields(Rc::new(fields));
    let labels = labels.into_iter();
    let labels = labels.map(|(key, value)| (key.into(), value.into()));
    let service = fields(BTreeMap::from([
        ("Name", text("web")),
        ("Labels", Value::Map(Rc::new(labels.collect()))),
        ("None", Value::Map(Rc::default())),
    ]));
    let task = fields(BTreeMap::from([("Slot", text("3"))]));
    fields(BTreeMap::from([("Service", service), ("Task", task)]))
}

fn filled(text: &str) -> Result<String, String> {
    let filled = expand(text, &context(), &Secrets, &mut Budget::default());
    filled.map_err(|error| error.to_string())
}

fn check(text: &str, expected: &str) {
    assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
}

fn check_refused(text: &str, line: usize, reason: &str) {
    let expected = format!("template: expansion:{line}: {reason}");
    assert_eq!(filled(text), Err(expected), "{text}");
}

#[test]
fn text_is_itself_and_fields_are_filled_in() {
    check("plain } text {", "plain } text {");
    check("{{.Service.Name}}.{{ .Task.Slot }}", "web.3");
    check("{{.Service.Labels.a}}", "1");
    check("{{index .Service.Labels \"com.example/b\"}}", "2");
    check("[{{index .Service.Labels \"c\"}}]", "[]");
    check("{{$.Service.Name}} {{(.Service).Name}}", "web web");
    check("{{.Service.Labels}}", "map[a:1 com.example/b:2]");
}

#[test]
fn comments_and_trim_markers_vanish() {
    check("a {{- /* {{ */ -}} b", "ab");
    check("a {{/* x */}} b", "a  b");
    check("a \n {{- .Task.Slot -}} \n b", "a3b");
    check("{{-3}}", "-3");
}

#[test]
fn pipelines_give_their_value_to_the_next() {
    check(
        "{{\"s\" | secret | printf \"%s!%d%%\" | print}}",
        "<s>!%!d(MISSING)%",
    );
    check("{{printf \"%q-%v\" .Service.Name 4}}", "\"web\"-4");
    check("{{join .Service.Name \"x\" \"/\"}}", "web/x");
    check("{{len .Service.Labels}}{{len \"abc\"}}", "23");
    check(
        "{{print 1 2 \"a\" 3}}{{println \"x\" true}}",
        "1 2a3x true\n",
    );
    check("{{secret `raw`}}", "<raw>");
}

#[test]
fn branches_and_loops_are_taken() {
    let kind = "{{if eq .Service.Name \"db\" \"api\"}}a{{else if not .Task.Slot}}b{{else}}c{{end}}";
    check(kind, "c");
    check(
        "{{range $k, $v := .Service.Labels}}{{$k}}={{$v}},{{end}}",
        "a=1,com.example/b=2,",
    );
    check("{{range .Service.Labels}}{{.}};{{end}}", "1;2;");
    check("{{range .Service.None}}x{{else}}none{{end}}", "none");
    check("{{with .Service}}{{.Name}}{{$.Task.Slot}}{{end}}", "web3");
    check("{{with .Service.None}}x{{else}}y{{end}}", "y");
    check("{{$x := \"a\"}}{{if true}}{{$x = \"b\"}}{{end}}{{$x}}", "b");
    check(
        "{{if and (gt 2 1) (or false (le \"a\" \"b\"))}}y{{end}}",
        "y",
    );
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (text, line, reason) in [
        ("{{.Service.Foo}}", 1, "can't evaluate field Foo"),
        (
            "\n{{.Service.Labels.x}}",
            2,
            "map has no entry for key \"x\"",
        ),
        ("{{foo}}", 1, "function \"foo\" not defined"),
        ("{{ .Service.Name", 1, "unclosed action"),
        ("{{if true}}x", 1, "unexpected EOF"),
        ("x{{end}}", 1, "unexpected {{end}}"),
        ("{{else}}", 1, "unexpected {{else}}"),
        ("{{$y}}", 1, "undefined variable \"$y\""),
        ("{{}}", 1, "missing value for command"),
        ("{{\"x}}", 1, "unterminated quoted string"),
        ("{{/* x", 1, "unclosed comment"),
        ("{{1 2}}", 1, "can't give argument to non-function"),
        ("{{1 | 2}}", 1, "non executable command in pipeline"),
        ("{{template \"x\"}}", 1, "{{template}} is not supported"),
        ("{{range 3}}{{end}}", 1, "range can't iterate over a number"),
        (
            "{{not 1 2}}",
            1,
            "error calling not: wrong number of args for not: 2",
        ),
        (
            "{{secret \"gone\"}}",
            1,
            "error calling secret: secret target gone not found",
        ),
    ] {
        check_refused(text, line, reason);
    }
}

#[test]
fn a_format_is_as_in_go_or_an_error() {
    check(
        "{{printf \"%s %v\" .Service.Labels true}}",
        "map[a:1 com.example/b:2] true",
    );
    check("{{printf \"%d%t%\" 4 false}}", "4false%!(NOVERB)");
    for format in ["%.12s", "%-10s", "%5d", "%+v", "%x", "%é"] {
        let reason = "error calling printf: of verbs it has %v, %s, %q, %d, %t and %%, without \
                      flags, width or precision";
        check_refused(&format!("{{{{printf \"{format}\" 1}}}}"), 1, reason);
    }
    for (call, reason) in [
        ("\"%s\" 5", "%s of a number"),
        ("\"%d\" \"5\"", "%d of a string"),
        ("\"%t\" .Service.Labels", "%t of a map"),
        ("\"%q\" true", "%q of a bool"),
        ("\"%v\" 1 2", "it has more arguments than verbs"),
        ("5", "the format is no string"),
    ] {
        let reason = format!("error calling printf: {reason}");
        check_refused(&format!("{{{{printf {call}}}}}"), 1, &reason);
    }
}

#[test]
fn an_error_shows_no_value() {
    check_refused(
        "{{range secret \"pw\"}}{{end}}",
        1,
        "range can't iterate over a string",
    );
    check_refused(
        "{{secret (secret \"pw\")}}",
        1,
        "error calling secret: there is nothing of the name that was computed",
    );
    check_refused(
        "{{secret \"pw\" | secret}}",
        1,
        "error calling secret: there is nothing of the name that was computed",
    );
    let error = filled(&format!("{{{{$.{}}}}}", "x".repeat(10_000))).unwrap_err();
    assert!(error.len() < 400, "{}", error.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_no_template_is_itself(text: String) {
        prop_assume!(!is_template(&text));
        prop_assert_eq!(filled(&text), Ok(text));
    }
}
