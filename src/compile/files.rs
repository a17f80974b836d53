//! `files.*`: what a declaration puts on the machine as it stands, or through a template of a module.
//!
//! Refuses: paths that leave the machine's tree, and templates that print a value outside the quoting of the file's format.

use super::template::{self, Format};
use crate::diag::{Code, Diagnostic, Report, Span};
use crate::resolve::rules::is_sound_path;
use crate::resolve::{File, Machine};
use serde_json::{Value, json};

/// A file below the closure: its path, mode, text and where it was declared.
pub struct Printed {
    pub path: String,
    pub mode: u32,
    pub text: String,
    pub origin: Span,
}

pub fn of_machine(machine: &Machine, report: &mut Report) -> Vec<Printed> {
    let mut files = vec![];
    for (path, file) in &machine.options.files {
        let origin = machine.origins.of(&format!("files.\"{path}\"")).unwrap_or(machine.origin);
        match print(machine, path, file) {
            Ok((below, mode, text)) => files.push(Printed { path: below, mode, text, origin }),
            Err((code, fault)) => report.push(Diagnostic::error(code, origin, fault)),
        }
    }
    files
}

fn print(machine: &Machine, path: &str, file: &File) -> Result<(String, u32, String), (Code, String)> {
    let below = below(path)
        .ok_or_else(|| (Code(704), format!("`{}` is not the absolute path of a file", path.escape_debug())))?;
    let mode = u32::from_str_radix(&file.mode, 8).ok().filter(|mode| *mode <= 0o7777);
    let mode = mode
        .ok_or_else(|| (Code(704), format!("`{}` is not a mode in octal, such as 0644", file.mode.escape_debug())))?;
    let text = match (&file.text, &file.template) {
        (Some(text), None) => text.clone(),
        (None, Some(name)) => render(machine, path, file, name).map_err(|fault| (Code(705), fault))?,
        _ => return Err((Code(704), format!("the file `{path}` needs one of `text` and `template`"))),
    };
    Ok((below, mode, text))
}

fn render(machine: &Machine, path: &str, file: &File, name: &str) -> Result<String, String> {
    let Some(template) = machine.templates.get(name) else {
        return Err(format!("no module of `{}` has a template `{name}`", machine.name));
    };
    let mut values: serde_json::Map<String, Value> = file.values.clone().into_iter().collect();
    values.insert("machine".to_owned(), about(machine));
    template::text(Format::of(path), template, &Value::Object(values))
        .map_err(|fault| format!("the template `{name}` does not print: {fault}"))
}

/// What every template sees of the machine.
fn about(machine: &Machine) -> Value {
    json!({
        "name": machine.name,
        "zone": machine.zone,
        "person": machine.person,
        "host": machine.options.network.host,
        "arch": machine.hardware.arch,
        "configuration": machine.modules,
    })
}

/// The rules said so before (LW0421). An absolute path without `.`, `..` and empty parts becomes a path below the closure.
fn below(path: &str) -> Option<String> {
    is_sound_path(path).then(|| path.trim_start_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn paths_stay_in_the_tree() {
        assert_eq!(below("/etc/motd").as_deref(), Some("etc/motd"));
        for path in ["etc/motd", "/", "//etc", "/etc/", "/etc/../root", "/./x", "/a\nb", ""] {
            assert_eq!(below(path), None, "{path:?}");
        }
    }
}
