//! Modules: which ones a configuration brings, imports first, each once; and the option tree that they declare.
//!
//! Refuses: import cycles, and imports of modules that do not exist.

use super::codes;
use super::core::MACHINE_OPTIONS;
use super::schema::Schema;
use crate::declare::nearest;
use crate::declare::{Declared, Module};
use crate::diag::{Diagnostic, Report, Span, Spanned};
use crate::name::ModuleName;
use std::collections::BTreeSet;

/// All modules of a configuration, imports first, each once. Unknown ones are reported and left out.
pub fn closure<'a>(
    configuration: &[Spanned<ModuleName>],
    declared: &'a Declared,
    report: &mut Report,
) -> Vec<&'a Module> {
    let mut visit = Visit { declared, report, done: BTreeSet::new(), stack: vec![], order: vec![] };
    for name in configuration {
        visit.module(name);
    }
    visit.order
}

struct Visit<'v, 'a> {
    declared: &'a Declared,
    report: &'v mut Report,
    done: BTreeSet<ModuleName>,
    stack: Vec<(ModuleName, Span)>,
    order: Vec<&'a Module>,
}

impl Visit<'_, '_> {
    fn module(&mut self, name: &Spanned<ModuleName>) {
        if let Some(from) = self.stack.iter().position(|(open, _)| *open == name.value) {
            self.cycle(from, name.span);
            return;
        }
        if self.done.contains(&name.value) {
            return;
        }
        let Some(module) = self.declared.modules.get(&name.value) else {
            if !self.declared.broken.contains(&format!("modules/{}/module.toml", name.value)) {
                self.report.push(unknown(name, self.declared));
            }
            return;
        };
        self.stack.push((name.value.clone(), name.span));
        for import in &module.imports {
            self.module(import);
        }
        self.stack.pop();
        self.done.insert(name.value.clone());
        self.order.push(module);
    }

    /// Edge by edge: where each module imports the next. The same cycle reads the same wherever it is entered.
    fn cycle(&mut self, from: usize, back: Span) {
        let names: Vec<&ModuleName> = self.stack[from..].iter().map(|(name, _)| name).collect();
        let imports = self.stack[from + 1..].iter().map(|(_, span)| *span).chain([back]);
        let mut edges: Vec<(&ModuleName, Span)> = names.into_iter().zip(imports).collect();
        let first = edges.iter().enumerate().min_by_key(|(_, (_, span))| *span).map_or(0, |(at, _)| at);
        edges.rotate_left(first);
        let ring: Vec<String> = edges.iter().chain(edges.first()).map(|(name, _)| format!("`{name}`")).collect();
        if let [(name, span)] = edges.as_slice() {
            let says = format!("the module `{name}` imports itself");
            return self.report.push(Diagnostic::error(codes::IMPORT_CYCLE, *span, says).help("remove it"));
        }
        let mut error = Diagnostic::error(
            codes::IMPORT_CYCLE,
            edges[0].1,
            format!("these modules import each other: {}", ring.join(" → ")),
        )
        .label(format!("{} imports {}", ring[0], ring[1]));
        for (at, (_, span)) in edges.iter().enumerate().skip(1) {
            error = error.also(*span, format!("{} imports {}", ring[at], ring[at + 1]));
        }
        self.report.push(error.help("move what both need into a third module"));
    }
}

fn unknown(name: &Spanned<ModuleName>, declared: &Declared) -> Diagnostic {
    let known = declared.modules.keys().map(ModuleName::as_str);
    let error = Diagnostic::error(codes::UNKNOWN_NAME, name.span, format!("there is no module `{}`", name.value));
    match nearest(name.value.as_str(), known.clone()) {
        Some(near) => error.help(format!("write `{near}`")),
        None => error.help(format!(
            "the modules are {}; your own go to modules/{}/module.toml",
            known.collect::<Vec<_>>().join(", "),
            name.value
        )),
    }
}

/// The built-in options and those of the modules.
pub fn schema(modules: &[&Module], declared: &Declared, report: &mut Report) -> Schema {
    let mut schema = MACHINE_OPTIONS.clone();
    for module in modules {
        schema.add(&module.options, declared, report);
    }
    schema
}
