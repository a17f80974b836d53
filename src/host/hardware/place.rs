//! Where a device is attached: an address that stays the same from boot to boot.
//!
//! Refuses: numbers that the kernel gives in the order in which it finds things (`sda`, `ata3`, `mmc0`, `usb2`).

/// `…/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/…` is `0000:00:14.0/usb-1.4`; `…/platform/soc/fe340000.mmc/…` is `fe340000.mmc`.
pub fn of(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').skip_while(|part| *part != "devices").skip(1).collect();
    let bus = parts.iter().rev().find(|part| is_pci(part)).or_else(|| parts.iter().find(|part| is_platform(part)))?;
    // The port of a hub stands below the port that the hub is on: the last one is the whole way.
    let port = parts.iter().rev().find_map(|part| usb_port(part));
    Some(match port {
        Some(port) => format!("{bus}/usb-{port}"),
        None => (*bus).to_owned(),
    })
}

/// `0000:00:1f.2`
fn is_pci(part: &str) -> bool {
    let fields: Vec<&str> = part.split([':', '.']).collect();
    let hex = |field: &&str, least: usize| field.len() >= least && field.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(&fields[..], [domain, bus, device, function]
        if hex(domain, 4) && hex(bus, 2) && hex(device, 2) && hex(function, 1) && part.contains('.'))
}

/// `fe340000.mmc` of a device tree, `LNRO0005:00` of ACPI.
fn is_platform(part: &str) -> bool {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let tree =
        part.split_once('.').is_some_and(|(address, name)| hex(address) && name.starts_with(char::is_alphabetic));
    let acpi = part.split_once(':').is_some_and(|(id, number)| {
        (7..=8).contains(&id.len())
            && id.starts_with(|c: char| c.is_ascii_uppercase())
            && number.len() == 2
            && hex(number)
    });
    tree || acpi
}

/// `2-1.4` is port 1.4 of some bus.
fn usb_port(part: &str) -> Option<&str> {
    let (bus, port) = part.split_once('-')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (number(bus) && port.split('.').all(number)).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_where_the_device_is_attached() {
        for (path, place) in [
            ("sys/devices/pci0000:00/0000:00:1d.0/0000:01:00.0/nvme/nvme0/nvme0n1", "0000:01:00.0"),
            ("sys/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda", "0000:00:17.0"),
            (
                "sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/host4/target4:0:0/4:0:0:0",
                "0000:00:14.0/usb-1.4",
            ),
            ("sys/devices/platform/emmc2bus/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0", "fe340000.mmc"),
            ("sys/devices/platform/LNRO0005:00/virtio0/block/vda", "LNRO0005:00"),
            ("sys/devices/pci0000:00/0000:00:02.0/virtio1/block/vda", "0000:00:02.0"),
            ("sys/devices/pci0001:00/10001:00:02.0/net/eth0", "10001:00:02.0"),
        ] {
            assert_eq!(of(path).as_deref(), Some(place), "{path}");
        }
        for path in ["sys/devices/virtual/block/loop0", "sys/block/sda", "", "sys/devices/vbd-51712/block/xvda"] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
