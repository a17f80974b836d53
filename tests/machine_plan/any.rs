//! Any two generations of small dice, any meddling, any cut: the result is the new one, and the second plan is empty.

use super::build::{chain, closure, directive, file, lamp, service, size, socket, timer};
use super::simulator::{Generation, Machine};
use super::{edited_config, machine};
use leafwright::plan::machine::{Act, SeenFile, between};
use leafwright::resolve::Options;
use proptest::prelude::*;

/// Declarations by a row of small numbers.
fn declare(options: &mut Options, dice: &[u8; 12]) {
    let [todos, env, exec, said, web, bus, kill, time, port, motd, links, lamps] = *dice;
    match todos {
        0 => drop(options.services.remove("todos")),
        count => {
            let todos = service(options, "todos");
            todos.instances = u32::from(count);
            todos.environment.insert("N".into(), env.to_string());
            todos.exec.push(exec.to_string());
            todos.description = said.to_string();
            if kill > 1 {
                directive(&mut todos.unit, "Service.KillSignal=SIGINT");
            }
        }
    }
    if web == 0 {
        options.services.remove("web");
    }
    options.leaf.max_payload = size(1 << (20 + bus % 2));
    options.leaf.max_pending = size(64 << (20 + bus / 2));
    if time > 0 {
        timer(options, ["", "daily", "weekly", "monthly"][usize::from(time)], &format!("/bin/tidy {said}"));
    }
    if port > 0 {
        socket(options, &(7000 + u32::from(port)).to_string());
    }
    if motd > 0 {
        file(options, "/etc/motd", &motd.to_string());
    }
    if links > 0 {
        chain(options, &format!("/bin/a {links}"));
    }
    if lamps > 0 {
        lamp(options, &[&format!("Service.ExecStart=/bin/lamp {lamps}"), "Unit.PartOf=nats-server.service"]);
    }
}

fn dice() -> impl Strategy<Value = [u8; 12]> {
    prop::array::uniform12(0_u8..4)
}

fn made(dice: &[u8; 12]) -> Generation {
    Generation::of(&closure(|options| declare(options, dice), if dice[3] > 1 { "two" } else { "one" }))
}

/// What hands do: a file is edited, removed, replaced; a unit is stopped, started, or fails.
fn meddle(machine: &mut Machine, deeds: &[(u8, prop::sample::Index)]) {
    for (deed, index) in deeds {
        let paths: Vec<String> = machine.files.keys().cloned().collect();
        let units: Vec<String> = machine.running().into_iter().map(str::to_owned).collect();
        if paths.is_empty() || units.is_empty() {
            return;
        }
        let (path, unit) = (index.get(&paths).clone(), index.get(&units).clone());
        match deed {
            0 => drop(machine.files.remove(&path)),
            1 => drop(machine.files.insert(path, edited_config())),
            2 => drop(machine.files.insert(path, SeenFile::Link { to: "/dev/null".into() })),
            3 => {
                machine.kill(&unit);
                machine.failed.insert(unit);
            }
            4 => machine.take(&Act::DaemonReload),
            _ => machine.kill(&unit),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// `apply` itself asserts that the second plan is empty, and that every file and process is the new generation's.
    #[test]
    fn there_and_back_and_then_nothing(a in dice(), b in dice()) {
        let (old, new) = (made(&a), made(&b));
        let mut machine = machine(&old);
        let (files, running) = (machine.files.clone(), machine.running().join(" "));
        machine.apply(Some(&old), &new);
        machine.apply(Some(&new), &old);
        prop_assert_eq!(&machine.files, &files);
        prop_assert_eq!(machine.running().join(" "), running);
    }

    #[test]
    fn after_any_meddling_too(
        a in dice(),
        b in dice(),
        deeds in prop::collection::vec((0_u8..6, any::<prop::sample::Index>()), 0..5),
    ) {
        let (old, new) = (made(&a), made(&b));
        let mut machine = machine(&old);
        meddle(&mut machine, &deeds);
        machine.apply(Some(&old), &new);
    }

    /// Cut at any step: on to the new one, or back to the old one, by the same act.
    #[test]
    fn a_run_that_was_cut_goes_on_or_returns(a in dice(), b in dice(), cut in any::<prop::sample::Index>(), back in any::<bool>()) {
        let (old, new) = (made(&a), made(&b));
        let mut machine = machine(&old);
        machine.know(&new);
        let plan = between(Some(&old.content), &new.content, &machine.observe());
        let steps: Vec<_> = plan.steps().cloned().collect();
        let done = cut.index(steps.len() + 1);
        steps[..done].iter().for_each(|step| machine.take(&step.act));
        match back {
            true => drop(machine.apply(Some(&new), &old)),
            false => drop(machine.apply(Some(&old), &new)),
        }
    }
}
