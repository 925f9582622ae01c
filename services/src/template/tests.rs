use proptest::prelude::*;

use super::*;

/// `secret "s"` is `<s>`, and there is none called `gone`.
struct Secrets;

impl Lookup for Secrets {
    fn call(&self, function: &str, argument: &str) -> Option<Result<String, String>> {
        (function == "secret").then(|| match argument {
            "gone" => Err("secret target gone not found".to_owned()),
            argument => Ok(format!("<{argument}>")),
        })
    }
}

fn context() -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let labels = [("a", "1"), ("com.example/b", "2")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let service = Value::Fields(BTreeMap::from([
        ("Name", text("web")),
        ("Labels", Value::Map(labels.into())),
        ("None", Value::Map(BTreeMap::new())),
    ]));
    let task = Value::Fields(BTreeMap::from([("Slot", text("3"))]));
    Value::Fields(BTreeMap::from([("Service", service), ("Task", task)]))
}

fn filled(text: &str) -> Result<String, String> {
    expand(text, &context(), &Secrets).map_err(|error| error.to_string())
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
        ("{{range 3}}{{end}}", 1, "range can't iterate over 3"),
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
fn a_template_cannot_grow_without_bound() {
    let doubles = "{{$x = print $x $x}}".repeat(60);
    let text = format!("{{{{$x := \"{}\"}}}}{doubles}", "a".repeat(64));
    let error = filled(&text).unwrap_err();
    assert!(error.contains("too much work"), "{error}");
    let loops = "{{range $.Service.Labels}}".repeat(20) + &"{{end}}".repeat(20);
    let error = filled(&loops).unwrap_err();
    assert!(error.contains("too many steps"), "{error}");
    let nested = "{{if true}}".repeat(1000) + &"{{end}}".repeat(1000);
    let error = filled(&nested).unwrap_err();
    assert!(error.contains("nested too deeply"), "{error}");
    let parens = format!("{{{{{}1{}}}}}", "(".repeat(1000), ")".repeat(1000));
    assert!(filled(&parens).unwrap_err().contains("nested too deeply"));
    let chain = "{{if 0}}{{else if 0}}".to_owned() + &"{{else if 0}}".repeat(1000) + "{{end}}";
    assert!(filled(&chain).unwrap_err().contains("nested too deeply"));
}

/// Pieces from which templates are made, whole and broken.
fn piece() -> impl Strategy<Value = String> {
    let pieces = vec![
        "{{",
        "}}",
        "{{-",
        "-}}",
        " ",
        "\n",
        ".",
        ".Service",
        ".Labels",
        ".Name",
        "$",
        "$x",
        ":=",
        "=",
        ",",
        "|",
        "(",
        ")",
        "if",
        "else",
        "end",
        "range",
        "with",
        "index",
        "print",
        "printf",
        "eq",
        "and",
        "join",
        "secret",
        "\"a\"",
        "\"%d%v\"",
        "`",
        "1",
        "-7",
        "true",
        "/*",
        "*/",
        "x",
        "ä",
        "{",
        "}",
        "{{if true}}",
        "{{end}}",
        "{{else}}",
        "{{range .Service.Labels}}",
    ];
    prop_oneof![
        9 => prop::sample::select(pieces).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_filled_in_or_refused(pieces in prop::collection::vec(piece(), 0..40)) {
        let _ = filled(&pieces.concat());
    }

    #[test]
    fn what_is_no_template_is_itself(text: String) {
        prop_assume!(!is_template(&text));
        prop_assert_eq!(filled(&text), Ok(text));
    }
}
