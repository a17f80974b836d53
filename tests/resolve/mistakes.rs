//! Conflicts and mistakes of options: what is said, and where it stands. Rows of files, the option that is asked for, and the answer's beginning.

use super::{Files, check};

const A: &str = "modules/a/module.toml";
const B: &str = "modules/b/module.toml";
const PI: &str = "machines/pi.toml";

const ROWS: &[(Files, &str, &str)] = &[
    (
        &[(A, "[settings.t]\nnumber = 1"), (B, "[settings.t]\nnumber = 2")],
        "t.number",
        "LW0205 modules/b/module.toml:4:10 `t.number` has two values in one layer",
    ),
    (
        &[(A, "[force.t]\nlist = [\"a\"]"), (B, "[force.t]\nlist = [\"b\"]")],
        "t.list",
        "LW0205 modules/b/module.toml:4:8 `t.list` has two values",
    ),
    (
        &[(A, "[default.t]\nnumber = 1"), (B, "[default.t]\nnumber = 2")],
        "t.number",
        "LW0205 modules/b/module.toml:4:10",
    ),
    (
        &[(PI, "[settings]\npackages = [\"g++\"]")],
        "packages",
        "LW0202 machines/pi.toml:6:12 a table; each value a table; each value a string is expected, not a list",
    ),
    // A stronger layer ends a conflict of weaker ones.
    (
        &[(A, "[settings.t]\nnumber = 1"), (B, "[settings.t]\nnumber = 2"), (PI, "[settings.t]\nnumber = 3")],
        "t.number",
        "3",
    ),
    (
        &[(PI, "[remove.t]\nlist = [\"x\"]")],
        "t.list",
        "LW0206 machines/pi.toml:6:9 no weaker layer put `x` into `t.list`",
    ),
    (
        &[(PI, "[remove.t]\nthings = [\"x\"]")],
        "t.things",
        "LW0206 machines/pi.toml:6:11 no weaker layer put `x` into `t.things`",
    ),
    (&[(PI, "[settings.t]\nmap = { x = \"1\" }\n[remove.t]\nmap = [\"x\"]")], "t.map", "LW0206 machines/pi.toml:8:8"),
    (&[(PI, "[settings.t]\nnumbr = 1")], "t.number", "LW0201 machines/pi.toml:6:1 there is no option `t.numbr`"),
    (
        &[(PI, "[settings.t.things.one]\nsiz = 1")],
        "t.number",
        "LW0201 machines/pi.toml:6:1 there is no option `t.things.one.siz`",
    ),
    (
        &[(PI, "[settings.t]\nnumber = \"1\"")],
        "t.number",
        "LW0202 machines/pi.toml:6:10 an integer is expected, not a string",
    ),
    (&[(PI, "[settings]\nt = 1")], "t.number", "LW0202 machines/pi.toml:6:5 a table is expected, not an integer"),
    (&[(PI, "[settings.t]\nnumber = \"${t.othr}\"")], "t.number", "LW0208 machines/pi.toml:6:13 there is no `t.othr`"),
    (&[(PI, "[settings.t]\nnumber = \"${1 +}\"")], "t.number", "LW0207 machines/pi.toml:6:16"),
    (&[(PI, "[settings.t]\nnumber = \"${1\"")], "t.number", "LW0207 machines/pi.toml:6:11 this `${` is never closed"),
    (&[(PI, "[settings.t]\nnumber = \"${t.things[machine.name].size}\"")], "t.number", "LW0207 machines/pi.toml"),
    (
        &[(PI, "[settings.t]\nnumber = \"${1 / 0}\"")],
        "t.number",
        "LW0211 machines/pi.toml:6:11 this expression fails: it divides by zero",
    ),
    (
        &[(PI, "[settings.t]\nnumber = \"${machine.name}\"")],
        "t.number",
        "LW0202 machines/pi.toml:6:10 an integer is expected, not a string",
    ),
    // Cycles: of values, of a value and itself, of modules, of a condition by a detour.
    (
        &[(PI, "[settings.t]\nnumber = \"${t.other}\"\nother = \"${t.number}\"")],
        "t.number",
        "LW0209 machines/pi.toml:6:10 these need each other: `t.number` → `t.other` → `t.number`",
    ),
    (
        &[(PI, "[settings.t]\nnumber = \"${t.number + 1}\"")],
        "t.number",
        "LW0209 machines/pi.toml:6:10 these need each other: `t.number` → `t.number`",
    ),
    (
        &[(B, "imports = [\"c\"]"), ("modules/c/module.toml", "imports = [\"b\"]")],
        "t.number",
        "LW0102 modules/b/module.toml:3:12 these modules import each other: `b` → `c` → `b`",
    ),
    (
        &[(
            PI,
            "[[blocks]]\nwhen = \"t.number == 0\"\n[blocks.settings.t]\nother = 1\n[settings.t]\nnumber = \"${t.other}\"",
        )],
        "t.number",
        "LW0209 machines/pi.toml:6:8 these need each other",
    ),
    (
        &[(PI, "[[blocks]]\nwhen = \"t.number == 0\"\n[blocks.settings.t]\nnumber = 1")],
        "t.number",
        "LW0210 machines/pi.toml:6:9 this condition reads `t.number`",
    ),
    (
        &[(PI, "[[blocks]]\nwhen = \"t.number\"\n[blocks.settings.t]\nother = 1")],
        "t.other",
        "LW0215 machines/pi.toml:6:8",
    ),
    // What a module declares is unknown only to those who name it: shared layers may speak to machines that have it.
    (
        &[
            ("modules/c/module.toml", "[options.\"v.it\"]\ntype = \"int\"\ndoc = \"it\"\ndefault = 1"),
            ("domain.toml", "[settings.v]\nit = 2"),
        ],
        "t.number",
        "0",
    ),
    (
        &[
            ("modules/c/module.toml", "[options.\"v.it\"]\ntype = \"int\"\ndoc = \"it\"\ndefault = 1"),
            (PI, "[settings.v]\nit = 2"),
        ],
        "t.number",
        "LW0201 machines/pi.toml:5:11 there is no option `v` without the module `c`",
    ),
    (
        &[(B, "[options.\"v.it\"]\ntype = \"int\"\ndoc = \"it\"\ndefault = \"${t.nmber}\"")],
        "t.number",
        "LW0208 modules/b/module.toml:6:14 there is no `t.nmber`",
    ),
    (
        &[(B, "[options.\"t.number\"]\ntype = \"int\"\ndoc = \"again\"")],
        "t.number",
        "LW0204 modules/b/module.toml:3:10 the option `t.number` is declared already",
    ),
    (
        &[(B, "[options.\"t.number.deeper\"]\ntype = \"int\"\ndoc = \"below\"")],
        "t.number",
        "LW0204 modules/b/module.toml:3:10",
    ),
];

#[test]
fn conflicts_and_mistakes_are_reported_where_they_stand() {
    for (extra, option, expect) in ROWS {
        let extra: Vec<(&str, String)> = extra.iter().map(|(file, text)| (*file, format!("\n{text}\n"))).collect();
        let extra: Vec<(&str, &str)> = extra.iter().map(|(file, text)| (*file, text.as_str())).collect();
        check(&extra, option, expect);
    }
}
