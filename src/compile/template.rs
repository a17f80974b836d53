//! Tera, once for each format: a value that a template prints goes through the quoting of that format, always.
//!
//! Refuses: decisions in templates; they print what was decided before.

use super::quote::{self, Unwritable};
use serde::Serialize;
use std::io::{Error, Write};
use std::sync::OnceLock;
use tera::Tera;

/// What is printed. Each format has its quoting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Unit,
    /// sysusers.d and tmpfiles.d
    Lines,
    Environment,
    /// A text that a template of a user prints; by the ending of the file's name.
    Json,
    Toml,
    Systemd,
    Shell,
    Plain,
}

impl Format {
    /// The format of a file that `files.*` names.
    pub fn of(path: &str) -> Format {
        let name = path.rsplit('/').next().unwrap_or(path);
        match name.rsplit('.').next().unwrap_or_default() {
            "json" => Format::Json,
            "toml" => Format::Toml,
            "sh" => Format::Shell,
            "env" => Format::Environment,
            "service" | "socket" | "timer" | "target" | "path" | "mount" | "slice" => Format::Systemd,
            _ => Format::Plain,
        }
    }
}

static CORE: OnceLock<[Tera; 8]> = OnceLock::new();

/// The engines, one a format, with the core templates in the format that they print. Parsed once.
fn engine(format: Format) -> &'static Tera {
    let engines = CORE.get_or_init(|| {
        [
            tera(&[("unit", include_str!("../../templates/unit.tera"))], |text, out| put(quote::directive(text), out)),
            tera(
                &[
                    ("sysusers", include_str!("../../templates/sysusers.tera")),
                    ("tmpfiles", include_str!("../../templates/tmpfiles.tera")),
                ],
                |text, out| put(quote::field(text), out),
            ),
            tera(&[("environment", include_str!("../../templates/environment.tera"))], |text, out| {
                put(quote::environment(text), out)
            }),
            tera(&[], |text, out| put(quote::json(text), out)),
            tera(&[], |text, out| put(quote::toml(text), out)),
            tera(&[], |text, out| put(quote::word(text), out)),
            tera(&[], |text, out| put(quote::shell(text), out)),
            tera(&[], |text, out| put(quote::plain(text), out)),
        ]
    });
    let place = match format {
        Format::Unit => 0,
        Format::Lines => 1,
        Format::Environment => 2,
        Format::Json => 3,
        Format::Toml => 4,
        Format::Systemd => 5,
        Format::Shell => 6,
        Format::Plain => 7,
    };
    &engines[place]
}

fn tera(templates: &[(&'static str, &'static str)], escape: tera::EscapeFn) -> Tera {
    let mut tera = Tera::new();
    tera.set_escape_fn(escape);
    tera.autoescape_on([""]);
    // The core templates are compiled in, and a test renders each.
    tera.add_raw_templates(templates.iter().copied())
        .unwrap_or_else(|fault| unreachable!("a core template is wrong: {fault}"));
    tera
}

fn put(quoted: Result<String, Unwritable>, out: &mut dyn Write) -> std::io::Result<()> {
    let text = quoted.map_err(|fault| Error::other(fault.to_string()))?;
    out.write_all(text.as_bytes())
}

/// Prints one of the core templates.
pub fn core(format: Format, name: &str, values: &impl Serialize) -> Result<String, String> {
    let context = tera::Context::from_serialize(values).map_err(|fault| chain(&fault))?;
    engine(format).render(name, &context).map_err(|fault| chain(&fault))
}

/// Prints a template of a user.
pub fn text(format: Format, template: &str, values: &impl Serialize) -> Result<String, String> {
    let context = tera::Context::from_serialize(values).map_err(|fault| chain(&fault))?;
    engine(format).render_str(template, &context, true).map_err(|fault| chain(&fault))
}

/// A fault and its causes on one line.
fn chain(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_value_is_quoted_for_its_format() {
        let values = json!({"v": "a \"b\" $c"});
        for (format, expected) in [
            (Format::Json, r#"x="a \"b\" $c""#),
            (Format::Toml, r#"x="a \"b\" $c""#),
            (Format::Environment, r#"x="a \"b\" \$c""#),
            (Format::Systemd, r#"x="a \"b\" $$c""#),
            (Format::Shell, r#"x='a "b" $c'"#),
            (Format::Plain, r#"x=a "b" $c"#),
        ] {
            assert_eq!(text(format, "x={{ v }}", &values).unwrap(), expected, "{format:?}");
        }
    }

    #[test]
    fn maps_are_printed_in_order() {
        let values = json!({"m": {"b": 2, "a": 1, "d": 4, "c": 3, "e": 5}});
        let template = "{% for k, v in m %}{{ k }}={{ v }};{% endfor %}";
        assert_eq!(text(Format::Plain, template, &values).unwrap(), "a=1;b=2;c=3;d=4;e=5;");
    }

    #[test]
    fn a_fault_says_what_is_wrong() {
        let fault = text(Format::Plain, "{{ nowhere }}", &json!({})).unwrap_err();
        assert!(fault.contains("nowhere"), "{fault}");
        let fault = text(Format::Environment, "{{ v }}", &json!({"v": "a\nb"})).unwrap_err();
        assert!(fault.contains("cannot hold"), "{fault}");
    }
}
