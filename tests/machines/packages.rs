//! Packages of the distribution: refused before anything is changed where there is none, installed before files, never removed;
//! and an installation that nobody waits for any more comes to its end.
//!
//! Refuses: the network. Each package is made here, and lies in a repository on the machine's own disk.

use crate::apply::{office, sound};
use crate::lab::{DEADLINE, Machine, until};
use crate::lab::{Lab, Output};
use crate::operator::{DOMAIN, Operator};

/// Three packages: one with a program and a configuration, one that needs what nobody has, and one whose installation takes
/// until a file is gone.
const REPOSITORY: &str = r#"
set -eu
mkdir -p /srv/repo && cd /srv/repo
package() {
    mkdir -p "$1/DEBIAN" "$1/usr/bin" "$1/etc"
    printf 'Package: %s\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a test\n' "$1" >"$1/DEBIAN/control"
}
package lantern
printf '#!/bin/sh\nexec sleep infinity\n' >lantern/usr/bin/lantern
chmod 755 lantern/usr/bin/lantern
echo theirs >lantern/etc/lantern.conf
echo /etc/lantern.conf >lantern/DEBIAN/conffiles
package needy
echo 'Depends: nowhere' >>needy/DEBIAN/control
package slow
printf '#!/bin/sh\nwhile [ -e /srv/hold ]; do sleep 0.05; done\n' >slow/DEBIAN/postinst
chmod 755 slow/DEBIAN/postinst
for name in lantern needy slow; do
    dpkg-deb --root-owner-group --build "$name" "$name.deb" >/dev/null
    dpkg-deb --field "$name.deb"
    printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' "$name" "$(stat -c %s "$name.deb")" "$(sha256sum "$name.deb" | cut -d' ' -f1)"
done >Packages
echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list
apt-get update
"#;

/// It runs a program that only the package brings, and reads a file that the package brings too, and ours replaces.
const LANTERN: &str = r#"
[settings.packages]
lamp = { debian = "lantern" }

[settings.files."/etc/lantern.conf"]
text = "ours\n"

[settings.units."lantern.service"]
Service = { ExecStart = ["/usr/bin/lantern"] }
Install = { WantedBy = ["leafwright.target"] }
"#;

fn state(machine: &Machine, package: &str) -> String {
    machine.exec(["dpkg-query", "-W", "-f", "${db:Status-Status}", package]).stdout
}

/// Refused with these words, and nothing is other than before.
fn refused(machine: &Machine, operator: &Operator, words: &[&str]) {
    let register = machine.read("/var/lib/leafwright/state.json");
    let packages = machine.read("/var/lib/dpkg/status");
    let output = operator.apply(machine, []);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    for word in words {
        assert!(output.stderr.contains(word), "{word:?} is not in {}", output.stderr);
    }
    assert_eq!(machine.read("/var/lib/leafwright/state.json"), register);
    assert_eq!(machine.read("/var/lib/dpkg/status"), packages);
}

fn quick(operator: &Operator, machine: &Machine) -> String {
    let Output { status, stdout, stderr } = operator.apply(machine, ["--steady", "0"]);
    assert!(status.success(), "{stdout}{stderr}");
    stderr
}

pub fn packages_are_installed_and_never_removed() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let bare = operator.text_of("office");
    let line = bare.lines().count() + 3;
    operator.append("office", LANTERN.trim());
    let place = |line: usize| format!("machines/office.toml:{line}:");
    let unknown = |name: &str| format!("apt knows no package `{name}`");
    refused(
        &office,
        &operator,
        &["nothing was done", &place(line), &unknown("lantern"), "apt has no lists of packages"],
    );
    office.must(["sh", "-c", REPOSITORY]);

    let said = quick(&operator, &office);
    let install = "1  install package lantern, because it is not installed";
    assert!(said.contains(install) && said.contains("1 package to install, "), "{said}");
    assert!(said.contains("1 of 6  install package lantern"), "before files: {said}");
    assert_eq!(state(&office, "lantern"), "installed");
    assert!(office.is_active("lantern.service"));
    assert_eq!(office.read("/etc/lantern.conf").as_deref(), Some("ours\n"));
    let said = quick(&operator, &office);
    assert!(said.contains("nothing to do"), "{said}");

    // What cannot be installed is named with its line, all of it at once; what apt has to say is said.
    let with = operator.text_of("office");
    operator.write("office", &with.replace("lamp =", "lnatern = {}\n\"lan.ern\" = {}\nlamp ="));
    let places = [place(line), place(line + 1)];
    refused(&office, &operator, &[&places[0], &unknown("lnatern"), &places[1], &unknown("lan.ern"), "apt-get update"]);
    operator.write("office", &with.replace("lamp =", "needy = {}\nlamp ="));
    refused(&office, &operator, &[&place(line), "needy : Depends: nowhere but it is not installable"]);

    // A hand takes it away: that is drift, and mended. What a hand left of it is not asked about.
    office.must(["sh", "-c", "echo hand >/etc/lantern.conf; dpkg --remove lantern"]);
    operator.write("office", &with);
    let drift = office.exec(["leafwright", "status"]);
    assert!(drift.status.code() == Some(3) && drift.stdout.contains(install), "{}", drift.stdout);
    quick(&operator, &office);
    assert_eq!(
        (state(&office, "lantern").as_str(), office.read("/etc/lantern.conf").as_deref()),
        ("installed", Some("ours\n"))
    );

    // No longer declared, and still there; and after the way back to before it.
    operator.write("office", &bare);
    let said = quick(&operator, &office);
    assert!(said.contains("remove /etc/systemd/system/lantern.service") && !said.contains("package"), "{said}");
    assert_eq!(state(&office, "lantern"), "installed");
    office.must(["leafwright", "rollback", "1", "--yes", "--steady", "0"]);
    assert_eq!(state(&office, "lantern"), "installed");
    sound(&office);

    goes_on_alone(&office, &operator);
}

/// `kill -9` in the middle of an installation: dpkg is not cut short, nothing is pending; and where dpkg was cut short by other
/// means, the next apply finishes that first.
fn goes_on_alone(office: &Machine, operator: &Operator) {
    operator.append("office", "[settings.packages]\nslow = {}");
    operator.take_to(office);
    office.write("/srv/hold", "");
    let mut apply = office.spawn(["leafwright", "apply", "office", "--domain", DOMAIN, "--yes", "--steady", "0"]);
    until("the package is on its way", DEADLINE, || state(office, "slow") == "half-configured");
    // Not by `kill`, which takes what it started as well.
    office.must(["pkill", "-KILL", "-f", "^leafwright apply"]);
    until("it is dead", DEADLINE, || !apply.is_running());
    sound(office);
    let at_work = || office.exec(["pgrep", "-x", "apt-get"]).success();
    office.must(["rm", "/srv/hold"]);
    until("it comes to its end", DEADLINE, || !at_work() && state(office, "slow") == "installed");
    // Not dpkg alone: apt writes down that it ended.
    let told = |what: &str| office.must(["grep", "-c", what, "/var/log/apt/history.log"]);
    assert_eq!(told("^Start-Date"), told("^End-Date"), "apt died with leafwright");
    office.must(["sh", "-c", "dpkg --remove slow && : >/var/lib/dpkg/updates/0001"]);
    let cut = office.exec(["apt-get", "install", "--yes", "slow"]);
    assert!(cut.stderr.contains("dpkg was interrupted"), "{}", cut.stderr);
    let said = quick(operator, office);
    assert!(said.contains("install package slow"), "{said}");
    assert_eq!(state(office, "slow"), "installed");
}
