//! How long `apply` takes on a machine, told and never judged: with an optimised program, by name (docs/benchmarks.md).

use crate::apply::office;
use crate::lab::{Lab, Machine};
use crate::operator::DOMAIN;

/// Names the program that is measured.
const PROGRAM: &str = "LEAFWRIGHT_BENCH";

/// Milliseconds of each of some runs inside the machine, in order.
fn timed(machine: &Machine, runs: usize, before: &str, command: &str) -> Vec<f64> {
    let script =
        format!("TIMEFORMAT=%R; for i in $(seq {runs}); do {before}; time {command} >/dev/null 2>&1 || exit 1; done");
    let output = machine.exec(["bash", "-c", &script]);
    assert!(output.success(), "{command}: {}{}", output.stdout, output.stderr);
    let mut times: Vec<f64> = output.stderr.lines().filter_map(|line| line.trim().parse().ok()).collect();
    assert_eq!(times.len(), runs, "{}", output.stderr);
    times.sort_by(f64::total_cmp);
    times.iter().map(|seconds| seconds * 1000.0).collect()
}

fn told(what: &str, times: &[f64]) {
    let (least, median) = (times[0], times[times.len() / 2]);
    println!("{what}: {least:.0} ms at least, {median:.0} ms in the median of {}", times.len());
}

pub fn apply_takes_so_long() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let program = std::env::var_os(PROGRAM).expect("LEAFWRIGHT_BENCH names the program to measure");
    let place = office.path("/usr/local/bin/leafwright");
    std::fs::remove_file(&place).unwrap();
    std::fs::copy(program, &place).unwrap();
    office.must(["sync"]);
    let apply = format!("leafwright apply office --domain {DOMAIN} --yes --steady 0");
    let within = ["--within", "30"];
    assert!(operator.apply(&office, within).success());

    told("leafwright --version", &timed(&office, 20, "true", "leafwright --version"));
    told("apply, nothing to do", &timed(&office, 20, "true", &apply));
    told("status, nothing differs", &timed(&office, 20, "true", "leafwright status"));

    let file = format!("{DOMAIN}/machines/office.toml");
    let other =
        format!("sleep 1; cmp -s /root/one.toml {file} && cp /root/other.toml {file} || cp /root/one.toml {file}");
    let unit = |word: &str| {
        format!(
            "[settings.units.\"bystander.service\"]\nService = {{ ExecStart = [\"/usr/bin/sleep infinity\"], Environment = [\"A={word}\"] }}\n\
             Unit = {{ StartLimitIntervalSec = [\"0\"] }}\nInstall = {{ WantedBy = [\"leafwright.target\"] }}"
        )
    };
    let base = operator.text_of("office");
    office.write("/root/other.toml", &format!("{base}\n{}\n", unit("b")));
    operator.append("office", &unit("a"));
    office.write("/root/one.toml", &operator.text_of("office"));
    assert!(operator.apply(&office, within).success());
    let restart = "systemctl restart bystander.service";
    told(restart, &timed(&office, 9, "sleep 1", restart));
    let reload = "systemctl daemon-reload";
    told(reload, &timed(&office, 9, "sleep 1", reload));
    told("apply, one unit changed and restarted", &timed(&office, 10, &other, &apply));

    office.write("/root/one.toml", &operator.text_of("office"));
    operator.settings("office", "leaf.max_pending = \"16MiB\"");
    office.write("/root/other.toml", &operator.text_of("office"));
    let restart = "systemctl restart nats-server.service";
    told(restart, &timed(&office, 5, "sleep 1", restart));
    told("apply, nats-server restarted, and its services after it", &timed(&office, 6, &other, &apply));
}
