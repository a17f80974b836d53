//! The loader against real directories.

use super::*;

fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn paths(sources: &Sources) -> Vec<&str> {
    sources.ids().map(|id| sources.path(id)).filter(|path| !path.starts_with(STANDARD)).collect()
}

#[test]
fn files_come_in_path_order_and_documentation_is_left_out() {
    let root = tempfile::tempdir().unwrap();
    for path in ["machines/b.toml", "machines/a.toml", "contracts/deep/x.json", "domain.toml", "modules/leaf/nats.tera"]
    {
        write(root.path(), path, b"");
    }
    write(root.path(), "machines/README.md", b"words");
    write(root.path(), "machines/.hidden", b"\xff");
    write(root.path(), "modules/leaf/cases/one/domain.toml", b"");
    write(root.path(), "src/main.rs", b"");
    let sources = domain(root.path()).unwrap();
    let wanted =
        ["contracts/deep/x.json", "domain.toml", "machines/a.toml", "machines/b.toml", "modules/leaf/nats.tera"];
    assert_eq!(paths(&sources), wanted);
    assert!(
        sources.ids().all(|id| !sources.path(id).starts_with("<leafwright>/modules/leaf/")),
        "the root's own module shadows"
    );
}

#[test]
fn a_file_that_is_not_text_is_kept_with_its_place() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "domain.toml", b"name = \"m\xff\"\n");
    let sources = domain(root.path()).unwrap();
    let id = sources.ids().find(|id| sources.path(*id) == "domain.toml").unwrap();
    assert_eq!(sources.damage(id), Some(9));
}

#[test]
fn a_link_that_leads_back_is_refused() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "contracts/deep/a.toml", b"");
    std::os::unix::fs::symlink(root.path().join("contracts/deep"), root.path().join("contracts/deep/again")).unwrap();
    let error = domain(root.path()).unwrap_err();
    assert_eq!(error.to_string(), "contracts/deep/again is a link that leads back to a directory above it");
}

#[test]
fn the_root_is_found_from_below() {
    let at = tempfile::tempdir().unwrap();
    write(at.path(), "domain.toml", b"");
    write(at.path(), "machines/a.toml", b"");
    assert_eq!(root(&at.path().join("machines")).unwrap(), at.path());
}

#[test]
fn what_is_no_file_of_the_tree_is_not_read() {
    let at = tempfile::tempdir().unwrap();
    let root = at.path().join("domain");
    write(at.path(), "shadow", b"root:secret");
    write(at.path(), "elsewhere/x.toml", b"secret = 1");
    write(&root, "domain.toml", b"");
    write(&root, "machines/real.toml", b"text");
    fs::create_dir_all(root.join("people")).unwrap();
    let link = std::os::unix::fs::symlink::<std::path::PathBuf, std::path::PathBuf>;
    link(at.path().join("shadow"), root.join("people/s.toml")).unwrap();
    link("/dev/zero".into(), root.join("machines/zero.toml")).unwrap();
    link(root.join("machines/real.toml"), root.join("machines/inside.toml")).unwrap();
    link(at.path().join("elsewhere"), root.join("machines/elsewhere")).unwrap();
    link("/nowhere".into(), root.join("machines/gone.toml")).unwrap();
    fs::create_dir(root.join("machines/directory.toml")).unwrap();
    write(&root, "events", b"");
    let _socket = std::os::unix::net::UnixListener::bind(root.join("machines/f.toml")).unwrap();
    write(&root, "machines/large.toml", &vec![b'#'; (LARGEST + 1) as usize]);
    let sources = domain(&root).unwrap();
    let seen: Vec<(&str, &str)> = (sources.ids())
        .filter(|id| !sources.path(*id).starts_with(STANDARD))
        .map(|id| (sources.path(id), sources.refusal(id).unwrap_or_else(|| sources.text(id))))
        .collect();
    let wanted = [
        ("domain.toml", ""),
        ("events", "is a file, and has to be a directory"),
        ("machines/directory.toml", "is a directory, and has to be a file"),
        ("machines/elsewhere", OUTSIDE),
        ("machines/f.toml", "is no regular file"),
        ("machines/gone.toml", "is a link that leads nowhere"),
        ("machines/inside.toml", "text"),
        ("machines/large.toml", "is larger than 16 MiB"),
        ("machines/real.toml", "text"),
        ("machines/zero.toml", OUTSIDE),
        ("people/s.toml", OUTSIDE),
    ];
    assert_eq!(seen, wanted);
    let report = crate::declare::all(&sources).report;
    assert_eq!(report.diagnostics.iter().filter(|found| found.code == crate::diag::Code(10)).count(), 8);
}
