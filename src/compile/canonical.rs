//! Canonical JSON: sorted keys, two spaces, one value a line, a newline at the end. The same value is always the same bytes.
//!
//! Refuses: `null` (nats-server takes none), and for nats-server also what its lexer cannot read (control characters, which JSON would
//! write as `\u….`). Every line remembers the path of the value on it, so that a fault at a line finds its declaration.

use serde_json::Value;

/// Who reads the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Json,
    /// nats-server's configuration language, of which this is a subset.
    NatsServer,
}

/// The text, and for each of its lines the dotted path of what stands there (places in lists are left out).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    pub text: String,
    pub paths: Vec<String>,
}

/// A value that cannot be written, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub path: String,
    pub message: String,
}

pub fn print(value: &Value, dialect: Dialect) -> Result<Printed, Refused> {
    let mut printer = Printer { dialect, printed: Printed::default(), path: vec![], line: String::new() };
    printer.value(value)?;
    printer.end_line();
    Ok(printer.printed)
}

/// One line without spaces, keys sorted: for JSON Lines and digests.
pub fn compact(value: &Value) -> String {
    let mut out = String::new();
    write_compact(value, &mut out);
    out
}

fn write_compact(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (place, key) in keys.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_compact(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_compact(item, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

struct Printer {
    dialect: Dialect,
    printed: Printed,
    path: Vec<String>,
    /// The path of what stands on the current line.
    line: String,
}

impl Printer {
    fn value(&mut self, value: &Value) -> Result<(), Refused> {
        match value {
            Value::Null => Err(self.refused("a value is absent")),
            Value::Bool(_) | Value::Number(_) => {
                self.printed.text.push_str(&value.to_string());
                Ok(())
            }
            Value::String(text) => self.string(text),
            Value::Array(items) if items.is_empty() => self.plain("[]"),
            Value::Object(map) if map.is_empty() => self.plain("{}"),
            Value::Array(items) => self.list(items),
            Value::Object(map) => self.map(map),
        }
    }

    fn plain(&mut self, text: &str) -> Result<(), Refused> {
        self.printed.text.push_str(text);
        Ok(())
    }

    fn list(&mut self, items: &[Value]) -> Result<(), Refused> {
        self.printed.text.push('[');
        let depth = self.depth() + 1;
        for (place, item) in items.iter().enumerate() {
            self.next_line(place, depth);
            // Lists have no names; a mark keeps the depth and is left out of the paths.
            self.path.push(String::new());
            self.mark();
            self.value(item)?;
            self.path.pop();
        }
        self.close(']', depth - 1);
        Ok(())
    }

    fn map(&mut self, map: &serde_json::Map<String, Value>) -> Result<(), Refused> {
        self.printed.text.push('{');
        let depth = self.depth() + 1;
        let mut keys: Vec<&String> = map.keys().collect();
        keys.sort();
        for (place, key) in keys.into_iter().enumerate() {
            self.next_line(place, depth);
            self.path.push(key.clone());
            self.mark();
            self.string(key)?;
            self.printed.text.push_str(": ");
            self.value(&map[key])?;
            self.path.pop();
        }
        self.close('}', depth - 1);
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), Refused> {
        if self.dialect == Dialect::NatsServer
            && let Some(bad) = text.chars().find(|c| c.is_control())
        {
            return Err(self.refused(&format!("nats-server cannot read {bad:?} in a string")));
        }
        // serde_json writes `/` as itself and escapes only `"`, `\` and control characters, as nats-server's lexer reads them.
        self.printed.text.push_str(&Value::from(text).to_string());
        Ok(())
    }

    fn depth(&self) -> usize {
        self.path.len()
    }

    fn next_line(&mut self, place: usize, depth: usize) {
        if place > 0 {
            self.printed.text.push(',');
        }
        self.end_line();
        self.printed.text.push_str(&"  ".repeat(depth));
    }

    fn close(&mut self, bracket: char, depth: usize) {
        self.end_line();
        self.mark();
        self.printed.text.push_str(&"  ".repeat(depth));
        self.printed.text.push(bracket);
    }

    fn end_line(&mut self) {
        self.printed.text.push('\n');
        self.printed.paths.push(std::mem::take(&mut self.line));
    }

    /// What stands on the line that was begun.
    fn mark(&mut self) {
        self.line = self.dotted();
    }

    fn dotted(&self) -> String {
        let parts: Vec<&str> = self.path.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        parts.join(".")
    }

    fn refused(&self, message: &str) -> Refused {
        Refused { path: self.dotted(), message: message.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_lines_know_their_paths() {
        let value = json!({"b": [1, {"c": "x/\"y\\"}], "a": {"z": true, "e": [], "m": {}}});
        let printed = print(&value, Dialect::NatsServer).unwrap();
        insta::assert_snapshot!(printed.text, @r#"
        {
          "a": {
            "e": [],
            "m": {},
            "z": true
          },
          "b": [
            1,
            {
              "c": "x/\"y\\"
            }
          ]
        }
        "#);
        assert_eq!(printed.paths, ["", "a", "a.e", "a.m", "a.z", "a", "b", "b", "b", "b.c", "b", "b", ""]);
        assert_eq!(printed.paths.len(), printed.text.lines().count());
        assert_eq!(serde_json::from_str::<Value>(&printed.text).unwrap(), value);
    }

    #[test]
    fn what_nats_server_cannot_read_is_refused_with_its_path() {
        let refused = print(&json!({"a": [{"b": "x\ny"}]}), Dialect::NatsServer).unwrap_err();
        assert_eq!(refused.path, "a.b");
        assert!(print(&json!({"a": null}), Dialect::Json).is_err());
        assert!(print(&json!({"a": "x\ny"}), Dialect::Json).is_ok());
    }
}
