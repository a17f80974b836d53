//! The whole: who made it, what starts it, what it is virtual on, which container it is.
//!
//! Refuses: versions of firmware, which change when it is brought up to date.

use super::cpu;
use super::tree::Tree;
use crate::declare::report::{Firmware, System, Virtualisation};
use serde_json::{Map, Value};

const DMI: &str = "sys/class/dmi/id";
const TREE: &str = "proc/device-tree";

pub struct Whole {
    pub system: System,
    pub firmware: Option<Firmware>,
    pub virtualisation: Option<Virtualisation>,
}

pub fn system(tree: &mut Tree, arch: &str, private: &mut Map<String, Value>) -> Whole {
    let dmi = |tree: &mut Tree, what: &str| tree.word(&format!("{DMI}/{what}")).filter(|word| !is_filler(word));
    let vendor = dmi(tree, "sys_vendor").or_else(|| dmi(tree, "board_vendor"));
    let product = dmi(tree, "product_name").or_else(|| dmi(tree, "board_name"));
    let product = product.or_else(|| tree.word(&format!("{TREE}/model")));
    for what in ["product_serial", "product_uuid", "board_serial", "chassis_serial"] {
        let word = tree.word_if_allowed(&format!("{DMI}/{what}")).filter(|word| !is_filler(word));
        private.extend(word.map(|word| (what.to_owned(), Value::from(word))));
    }
    let serial = tree.word_if_allowed(&format!("{TREE}/serial-number"));
    private.extend(serial.map(|serial| ("serial_number".to_owned(), Value::from(serial))));
    let virtualisation = virtualisation(tree, arch);
    Whole { system: System { vendor, product }, firmware: firmware(tree), virtualisation }
}

/// What board makers forget to fill in.
fn is_filler(word: &str) -> bool {
    const FILLERS: [&str; 7] = [
        "to be filled by o.e.m.",
        "default string",
        "system manufacturer",
        "system product name",
        "not specified",
        "none",
        "o.e.m.",
    ];
    FILLERS.contains(&word.to_lowercase().as_str())
}

fn firmware(tree: &mut Tree) -> Option<Firmware> {
    match () {
        () if tree.exists("sys/firmware/efi") => Some(Firmware::Uefi),
        () if tree.exists(TREE) => Some(Firmware::DeviceTree),
        () if tree.exists(DMI) => Some(Firmware::Bios),
        () => None,
    }
}

pub fn tpm(tree: &mut Tree) -> Option<u8> {
    const TPM: &str = "sys/class/tpm/tpm0";
    if !tree.exists(TPM) {
        return None;
    }
    let version = tree.number(&format!("{TPM}/tpm_version_major")).and_then(|version| u8::try_from(version).ok());
    if version.is_none() {
        tree.say(format!("cannot tell the version of the TPM: /{TPM}/tpm_version_major does not say it"));
    }
    version
}

/// Names in the firmware's tables, and what they mean. More telling ones first: a cloud that runs KVM is that cloud.
const VENDORS: [(&str, Virtualisation); 17] = [
    ("Amazon EC2", Virtualisation::Amazon),
    ("Google Compute Engine", Virtualisation::Google),
    ("VMware", Virtualisation::Vmware),
    ("VMW", Virtualisation::Vmware),
    ("innotek GmbH", Virtualisation::Oracle),
    ("VirtualBox", Virtualisation::Oracle),
    ("Parallels", Virtualisation::Parallels),
    ("BHYVE", Virtualisation::Bhyve),
    ("Apple Virtualization", Virtualisation::Apple),
    ("Microsoft Corporation", Virtualisation::Microsoft),
    ("Hyper-V", Virtualisation::Microsoft),
    ("Xen", Virtualisation::Xen),
    ("OpenStack", Virtualisation::Kvm),
    ("KVM", Virtualisation::Kvm),
    ("QEMU", Virtualisation::Qemu),
    ("Bochs", Virtualisation::Qemu),
    ("Hetzner", Virtualisation::Kvm),
];

/// On x86 the processor says whether, and the tables say on what; elsewhere the tables or the device tree say both.
fn virtualisation(tree: &mut Tree, arch: &str) -> Option<Virtualisation> {
    if tree.word("proc/xen/capabilities").is_some_and(|words| words.contains("control_d")) {
        // The domain that runs the others has the machine itself.
        return None;
    }
    let x86 = matches!(arch, "x86_64" | "x86" | "i386" | "i486" | "i586" | "i686");
    let info = tree.text("proc/cpuinfo").unwrap_or_default();
    let flag =
        cpu::values(&info, "flags").next().is_some_and(|flags| flags.split_whitespace().any(|f| f == "hypervisor"));
    if x86 && !flag {
        return None;
    }
    let named = by_tables(tree).or_else(|| by_hypervisor(tree)).or_else(|| by_device_tree(tree));
    named.or(flag.then_some(Virtualisation::Other))
}

fn by_tables(tree: &mut Tree) -> Option<Virtualisation> {
    let mut words = vec![];
    for what in ["product_name", "sys_vendor", "board_vendor", "bios_vendor"] {
        words.extend(tree.word(&format!("{DMI}/{what}")));
    }
    // Clouds rent whole machines too, under the same name.
    if words.iter().any(|word| word.ends_with(".metal")) {
        return None;
    }
    VENDORS.iter().find(|(name, _)| words.iter().any(|word| word.starts_with(name))).map(|(_, kind)| *kind)
}

fn by_hypervisor(tree: &mut Tree) -> Option<Virtualisation> {
    match tree.word("sys/hypervisor/type")?.as_str() {
        "xen" => Some(Virtualisation::Xen),
        _ => Some(Virtualisation::Other),
    }
}

fn by_device_tree(tree: &mut Tree) -> Option<Virtualisation> {
    let hypervisor = tree.words(&format!("{TREE}/hypervisor/compatible"));
    if !hypervisor.is_empty() {
        let is = |word: &str| hypervisor.iter().any(|name| name.contains(word));
        return Some(match () {
            () if is("kvm") => Virtualisation::Kvm,
            () if is("xen") => Virtualisation::Xen,
            () if is("vmware") => Virtualisation::Vmware,
            () => Virtualisation::Other,
        });
    }
    tree.words(&format!("{TREE}/compatible"))
        .iter()
        .any(|name| name == "linux,dummy-virt")
        .then_some(Virtualisation::Qemu)
}

/// What systemd was told, or the files that others leave.
pub fn container(tree: &mut Tree) -> Option<String> {
    if let Some(told) = tree.word("run/systemd/container") {
        return Some(told);
    }
    let left = [("run/.containerenv", "podman"), (".dockerenv", "docker")];
    left.iter().find(|(path, _)| tree.exists(path)).map(|(_, name)| (*name).to_owned())
}
