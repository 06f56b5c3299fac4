//! Drivers, modes, queues, and other people's programs.

use std::{path::Path, thread};

use super::Finding;
use crate::{
    control::api::Status,
    kernel::{self, Attachee, Device},
};

/// Drivers without a device, for which native mode means little.
const VIRTUAL: [&str; 6] = ["bridge", "tun", "dummy", "bonding", "team", "vxlan"];

/// What there is to say of the interfaces with these names (or patterns).
pub fn of_devices(bpf_dir: &Path, wanted: &[String], status: Option<&Status>) -> Vec<Finding> {
    const SUBJECT: &str = "interfaces";
    let all = match kernel::devices(bpf_dir) {
        Ok(all) => all,
        Err(error) => {
            return vec![Finding::warning(
                SUBJECT,
                format!("{error:#}"),
                "run as root: `sudo foobar doctor`",
            )];
        }
    };
    let mut findings = Vec::new();
    let mut chosen = Vec::new();
    for pattern in wanted {
        match kernel::select_interfaces(std::slice::from_ref(pattern)) {
            Ok(found) => chosen.extend(found.into_iter().map(|interface| interface.index)),
            Err(error) => {
                let help =
                    error.help().unwrap_or("`ip link` shows those that there are").to_owned();
                findings.push(Finding::warning(SUBJECT, error.to_string(), help));
            }
        }
    }
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    for device in all.iter().filter(|device| chosen.contains(&device.index)) {
        let note = status.and_then(|status| {
            let of_device = |name: &str| name == device.name;
            status
                .attachments
                .iter()
                .find(|attachment| {
                    of_device(&attachment.interface) && attachment.program == "ingress"
                })
                .and_then(|attachment| attachment.note.as_deref())
        });
        findings.extend(of_device(device, note, cpus));
    }
    findings
}

/// What there is to say of one device. `note`: why the daemon could not attach to it as it wanted.
fn of_device(device: &Device, note: Option<&str>, cpus: usize) -> Vec<Finding> {
    let subject = |about: &str| format!("{}: {about}", device.name);
    let driver = device.driver.as_deref().unwrap_or("no driver");
    let mut findings = vec![of_mode(device, driver, note)];
    let offloads = &device.offloads;
    for (feature, switch, name) in [("rx-lro", "lro", "LRO"), ("rx-gro-hw", "rx-gro-hw", "GRO_HW")]
    {
        let has = |list: &[String]| list.iter().any(|found| found == feature);
        if !has(&offloads.active) {
            continue;
        }
        let found =
            format!("{name} is on: {driver} merges packets, and drivers refuse native XDP then");
        findings.push(if has(&offloads.changeable) {
            let remedy = format!(
                "ethtool -K {0} {switch} off, then: systemctl restart foobar (and keep it: ethtool -K in the network configuration)",
                device.name
            );
            Finding::warning(subject(name), found, remedy)
        } else {
            Finding::warning(subject(name), format!("{found}; it cannot be switched off from here"), fixed(driver))
        });
    }
    if offloads.queues > 0 && (offloads.queues as usize) < cpus {
        let found = format!(
            "{} receive queue(s) for {cpus} CPUs: no more than that many filter packets",
            offloads.queues
        );
        let most = offloads.most_queues.min(u32::try_from(cpus).unwrap_or(u32::MAX));
        findings.push(if most > offloads.queues {
            Finding::warning(subject("queues"), found, format!("ethtool -L {} combined {most}", device.name))
        } else {
            Finding::warning(
                subject("queues"),
                format!("{found}; the device has no more"),
                "give the machine a device with as many queues as CPUs (QEMU: queues=N,mq=on; clouds: a larger type)",
            )
        });
    }
    findings.extend(of_programs(device));
    findings
}

/// Native or generic, and why.
fn of_mode(device: &Device, driver: &str, note: Option<&str>) -> Finding {
    let subject = format!("{}: XDP", device.name);
    let ours =
        |place: &str| device.programs.iter().any(|program| program.ours && program.place == place);
    let facts = format!("driver {driver}, MTU {}", device.mtu);
    if ours("XDP native") {
        return Finding::ok(subject, format!("native mode, {facts}"));
    }
    if !ours("XDP generic") {
        return Finding::ok(subject, format!("not filtered by foobar now, {facts}"));
    }
    let why = note.unwrap_or("`foobar status` of the running daemon says what the driver answered");
    let found = format!("generic mode, which is several times slower, {facts}: {why}");
    let remedy = if why.contains("GRO_HW") || why.contains("LRO") {
        "see the finding about it below".to_owned()
    } else if why.to_lowercase().contains("mtu") || why.contains("too large") {
        format!(
            "a smaller MTU, if the network allows it: ip link set {} mtu 1500; or a kernel whose {driver} knows XDP frags",
            device.name
        )
    } else if why.contains("queue") {
        format!(
            "fewer queues, so that some are left for XDP: ethtool -L {} combined N",
            device.name
        )
    } else if VIRTUAL.contains(&driver) || device.driver.is_none() {
        "filter on the device below it instead: name that one under `interfaces`".to_owned()
    } else {
        format!("a newer kernel, if its {driver} runs XDP programs; generic mode works meanwhile")
    };
    Finding::warning(subject, found, remedy)
}

/// What to do about an offload that the driver cannot switch.
fn fixed(driver: &str) -> &'static str {
    match driver {
        "virtio_net" => {
            "ask who runs the hypervisor: offer VIRTIO_NET_F_CTRL_GUEST_OFFLOADS (then `ethtool -K` switches it), or the device without guest offloads (QEMU: guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,guest_csum=off); generic mode works meanwhile"
        }
        _ => {
            "a setting of the device's firmware or of the hypervisor; generic mode works meanwhile"
        }
    }
}

/// Programs that are not foobar's.
fn of_programs(device: &Device) -> Vec<Finding> {
    let others = device.programs.iter().filter(|program| !program.ours);
    others
        .map(|Attachee { id, place, about, .. }| {
            let subject = format!("{}: other programs", device.name);
            let found = format!("{place} program {id} ({about})");
            if place.starts_with("XDP") {
                let remedy = format!(
                    "take it off with what attached it (or: ip link set dev {} xdp off), or start foobar with --replace",
                    device.name
                );
                Finding::error(subject, format!("{found} holds the hook that foobar needs"), remedy)
            } else {
                Finding::ok(subject, format!("{found}, beside which foobar runs"))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::doctor::Grade, kernel::Offloads};

    fn device(
        driver: &str,
        active: &[&str],
        changeable: &[&str],
        programs: &[(&'static str, bool)],
    ) -> Device {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let programs = (7..).zip(programs).map(|(id, (place, ours))| Attachee {
            id,
            place,
            about: "other, loaded by user 0".into(),
            ours: *ours,
        });
        Device {
            index: 2,
            name: "eth0".into(),
            mtu: 1500,
            driver: Some(driver.into()),
            offloads: Offloads {
                active: names(active),
                changeable: names(changeable),
                queues: 2,
                most_queues: 8,
            },
            programs: programs.collect(),
        }
    }

    fn remedies(findings: &[Finding], grade: Grade) -> String {
        let chosen = findings.iter().filter(|finding| finding.grade == grade);
        chosen
            .map(|finding| {
                format!("{}: {}\n", finding.subject, finding.remedy.as_deref().unwrap_or(""))
            })
            .collect()
    }

    #[test]
    fn what_stands_in_the_way_of_native_mode_comes_with_its_remedy() {
        let good =
            device("ice", &["rx-gro"], &["rx-lro"], &[("XDP native", true), ("TCX egress", true)]);
        let findings = of_device(&good, None, 2);
        assert!(findings.iter().all(|finding| finding.grade == Grade::Ok), "{findings:?}");

        let generic = [("XDP generic", true)];
        let why = Some(
            "the driver of eth0 refuses native mode: virtio_net: Can't set XDP while host is implementing GRO_HW/CSUM, disable GRO_HW/CSUM first",
        );
        let fixed = of_device(&device("virtio_net", &["rx-gro-hw"], &[], &generic), why, 2);
        let said = remedies(&fixed, Grade::Warning);
        assert!(
            said.contains("eth0: GRO_HW: ask who runs the hypervisor")
                && said.contains("guest_tso4=off"),
            "{said}"
        );
        assert!(said.contains("eth0: XDP: see the finding"), "{said}");

        let lro = of_device(&device("ixgbe", &["rx-lro"], &["rx-lro"], &generic), None, 2);
        assert!(remedies(&lro, Grade::Warning).contains("ethtool -K eth0 lro off"));
        let large = Some("the driver of eth0 refuses native mode: MTU too large to enable XDP");
        let large = of_device(&device("virtio_net", &[], &[], &generic), large, 2);
        assert!(remedies(&large, Grade::Warning).contains("ip link set eth0 mtu 1500"));
        let bridge =
            of_device(&device("bridge", &[], &[], &generic), Some("it cannot run XDP programs"), 2);
        assert!(remedies(&bridge, Grade::Warning).contains("the device below"));
    }

    #[test]
    fn queues_and_other_programs_are_told() {
        let few = of_device(&device("ice", &[], &[], &[("XDP native", true)]), None, 16);
        assert!(remedies(&few, Grade::Warning).contains("ethtool -L eth0 combined 8"), "{few:?}");
        let foreign = of_device(
            &device("ice", &[], &[], &[("XDP native", false), ("TCX egress", false)]),
            None,
            2,
        );
        assert!(remedies(&foreign, Grade::Error).contains("--replace"), "{foreign:?}");
        assert!(
            foreign.iter().any(|finding| finding.grade == Grade::Ok
                && finding.found.contains("TCX egress program 8"))
        );
    }
}
