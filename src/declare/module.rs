//! `modules/<module>/module.toml`, and the body that every declaration may have: settings by layer, checks, blocks.

use super::table::{File, Reader, any, table, text, word};
use super::value::{Entry, Table, Value};
use crate::diag::{SourceId, Span, Spanned};
use crate::name::{Fault, ModuleName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A module: options, values for options, checks; templates (`*.tera`) lie beside it.
#[derive(Debug)]
pub struct Module {
    pub name: ModuleName,
    pub source: SourceId,
    pub doc: Option<Spanned<Box<str>>>,
    pub imports: Vec<Spanned<ModuleName>>,
    pub options: Vec<OptionDecl>,
    pub body: Body,
    /// File name beside `module.toml` → its text.
    pub templates: BTreeMap<String, SourceId>,
    /// The same, as texts: what `compile` prints with.
    pub texts: BTreeMap<Box<str>, Arc<str>>,
}

/// `[options."dns.forwarders"]`: `type`, `doc`, and maybe `default`, `example`; `fields` where the type is a record.
#[derive(Clone, Debug)]
pub struct OptionDecl {
    pub path: Spanned<Box<str>>,
    /// The type as written, such as `list<ip>`; `resolve` parses it.
    pub kind: Spanned<Box<str>>,
    pub doc: Spanned<Box<str>>,
    pub default: Option<Spanned<Value>>,
    pub example: Option<Spanned<Value>>,
    /// The fields of a record, or of the record inside a list or map.
    pub fields: Vec<OptionDecl>,
}

/// What a domain, zone, cluster, hardware profile, machine or module says about options.
/// The first block is the file's own (no `when`); `[[blocks]]` follow in source order.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug, Default)]
pub struct Block {
    /// A CEL expression; absent means always.
    pub when: Option<Spanned<Box<str>>>,
    pub default: Table,
    pub settings: Table,
    pub force: Table,
    /// `[remove]`: option path → list of keys or elements to take away.
    pub remove: Table,
    /// `assert = [{ that = "expr", say = "…" }]`
    pub asserts: Vec<Check>,
    /// `warn`, likewise.
    pub warns: Vec<Check>,
}

/// A condition that must hold (CEL, no `${}`), and what to say when it does not (may hold `${…}`).
#[derive(Clone, Debug)]
pub struct Check {
    pub that: Spanned<Box<str>>,
    pub say: Spanned<Box<str>>,
    pub span: Span,
}

impl Module {
    pub(super) fn read(file: &mut File, name: Option<ModuleName>, content: Table) -> Option<Self> {
        let (source, top) = (file.source, file.top());
        let mut reader = Reader::new(file, content, top);
        let doc = reader.optional("doc", text);
        let imports = reader.set_of("imports", word(ModuleName::parse));
        let options = reader.optional("options", table);
        let body = Body::read(&mut reader);
        reader.finish();
        let options = options.map(|options| OptionDecl::read_all(file, options.value)).unwrap_or_default();
        Some(Self {
            name: name?,
            source,
            doc,
            imports,
            options,
            body,
            templates: BTreeMap::new(),
            texts: BTreeMap::new(),
        })
    }
}

impl OptionDecl {
    fn read_all(file: &mut File, options: Table) -> Vec<Self> {
        options.entries.into_iter().filter_map(|entry| Self::read(file, entry)).collect()
    }

    fn read(file: &mut File, entry: Entry) -> Option<Self> {
        let Entry { key: path, value } = entry;
        let declaration = table(file, &path.value, value)?;
        if let Err(fault) = option_path(&path.value, &declaration.value) {
            return file.fault(path.span, fault);
        }
        let mut reader = Reader::new(file, declaration.value, declaration.span);
        let kind = reader.required("type", "type = \"string\"", text);
        let doc = reader.required("doc", "doc = \"…\"", text);
        let default = reader.optional("default", any);
        let example = reader.optional("example", any);
        let fields = reader.optional("fields", table);
        reader.finish();
        let fields = fields.map(|fields| Self::read_all(file, fields.value)).unwrap_or_default();
        Some(Self { path, kind: kind?, doc: doc?, default, example, fields })
    }
}

/// A path is segments joined by dots, and one quoted key: `[options.a.b]` would be an option `a` with an unknown key `b`.
fn option_path(path: &str, declaration: &Table) -> Result<(), Fault> {
    if path.split('.').any(str::is_empty) {
        return Err(Fault::new(format!("the option path `{path}` has an empty part")));
    }
    let only_tables = declaration.entries.iter().all(|entry| matches!(entry.value.value, Value::Table(_)));
    match declaration.entries.first() {
        Some(inner) if only_tables && &*inner.key.value != "fields" => {
            Err(Fault::new("the path of an option is one quoted key")
                .help(format!("write `[options.\"{path}.{}\"]`", inner.key.value)))
        }
        _ => Ok(()),
    }
}

impl Body {
    /// Takes the keys that every body may have out of the table.
    pub(super) fn read(reader: &mut Reader) -> Self {
        let mut blocks = vec![Block::read(reader)];
        for block in reader.list_of("blocks", table) {
            let mut inner = Reader::new(reader.file, block.value, block.span);
            let when = inner.required("when", "when = \"…\"", text);
            let mut block = Block::read(&mut inner);
            inner.finish();
            block.when = when;
            blocks.push(block);
        }
        Self { blocks }
    }
}

impl Block {
    fn read(reader: &mut Reader) -> Self {
        let mut layer = |key| reader.optional(key, table).map(|table| table.value).unwrap_or_default();
        let (default, settings, force, remove) = (layer("default"), layer("settings"), layer("force"), layer("remove"));
        let asserts = reader.list_of("assert", Check::read);
        let warns = reader.list_of("warn", Check::read);
        Self { when: None, default, settings, force, remove, asserts, warns }
    }
}

impl Check {
    fn read(file: &mut File, key: &str, value: Spanned<Value>) -> Option<Self> {
        let check = table(file, key, value)?;
        let mut reader = Reader::new(file, check.value, check.span);
        let that = reader.required("that", "that = \"…\"", text);
        let say = reader.required("say", "say = \"…\"", text);
        reader.finish();
        Some(Self { that: that?, say: say?, span: check.span })
    }
}
