//! What a changed directive of a unit asks for, one row a directive. After systemd's own manuals (systemd.unit, .service, .socket,
//! .timer, .path, .slice): what the manager only keeps in mind is read again, what a process was started with is started again.
//!
//! Refuses: guessing. A directive without a row restarts its unit, and a test fails when one that we print has no row.

use super::graph::kind;
use crate::compile::Effect;
use crate::resolve::Unit;
use serde_json::Value;
use std::collections::BTreeSet;

/// What a change asks for; ordered by harm. A changed file is read again (`daemon-reload`) in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The manager has it in mind and acts by it from then on; what runs goes on.
    Reread,
    /// It says how the unit is stopped. Alone it is read again; when the unit restarts too, the unit is stopped by what it was
    /// started with, before any file changes.
    Stopping,
    Reload,
    Restart,
}

impl Class {
    pub fn effect(self) -> Effect {
        match self {
            Class::Reread | Class::Stopping => Effect::None,
            Class::Reload => Effect::Reload,
            Class::Restart => Effect::Restart,
        }
    }
}

/// A directive and what its change asks for.
pub struct Row {
    pub section: &'static str,
    pub directive: &'static str,
    pub class: Class,
}

/// Units of these kinds hold no process and no descriptor: the manager acts by what it read, and a target pulls in what is new.
const WHOLLY_REREAD: [&str; 3] = ["target", "path", "slice"];

const fn rows<const N: usize>(section: &'static str, class: Class, directives: [&'static str; N]) -> [Row; N] {
    let mut rows = [const { Row { section: "", directive: "", class: Class::Restart } }; N];
    let mut at = 0;
    while at < N {
        rows[at] = Row { section, directive: directives[at], class };
        at += 1;
    }
    rows
}

const UNIT: [Row; 42] = rows(
    "Unit",
    Class::Reread,
    [
        "After",
        "AllowIsolate",
        "AssertPathExists",
        "Before",
        "BindsTo",
        "CollectMode",
        "ConditionPathExists",
        "ConditionVirtualization",
        "Conflicts",
        "DefaultDependencies",
        "Description",
        "Documentation",
        "FailureAction",
        "FailureActionExitStatus",
        "IgnoreOnIsolate",
        "JobRunningTimeoutSec",
        "JobTimeoutAction",
        "JobTimeoutRebootArgument",
        "JobTimeoutSec",
        "OnFailure",
        "OnFailureJobMode",
        "OnSuccess",
        "OnSuccessJobMode",
        "PartOf",
        "PropagatesReloadTo",
        "PropagatesStopTo",
        "RebootArgument",
        "RefuseManualStart",
        "RefuseManualStop",
        "ReloadPropagatedFrom",
        "Requires",
        "Requisite",
        "SourcePath",
        "StartLimitAction",
        "StartLimitBurst",
        "StartLimitIntervalSec",
        "StopPropagatedFrom",
        "StopWhenUnneeded",
        "SuccessAction",
        "SuccessActionExitStatus",
        "Upholds",
        "Wants",
    ],
);

const SERVICE_REREAD: [Row; 10] = rows(
    "Service",
    Class::Reread,
    [
        "ExecReload",
        "OOMPolicy",
        "Restart",
        "RestartForceExitStatus",
        "RestartMaxDelaySec",
        "RestartPreventExitStatus",
        "RestartSec",
        "RestartSteps",
        "SuccessExitStatus",
        "TimeoutStartSec",
    ],
);

const SERVICE_STOPPING: [Row; 12] = rows(
    "Service",
    Class::Stopping,
    [
        "ExecStop",
        "ExecStopPost",
        "FinalKillSignal",
        "KillMode",
        "KillSignal",
        "RestartKillSignal",
        "SendSIGHUP",
        "SendSIGKILL",
        "TimeoutAbortSec",
        "TimeoutSec",
        "TimeoutStopSec",
        "WatchdogSignal",
    ],
);

/// What a process is started with, as far as we print it.
const SERVICE_RESTART: [Row; 51] = rows(
    "Service",
    Class::Restart,
    [
        "AmbientCapabilities",
        "CPUQuota",
        "CapabilityBoundingSet",
        "DynamicUser",
        "Environment",
        "EnvironmentFile",
        "ExecStart",
        "ExecStartPre",
        "Group",
        "IPAddressAllow",
        "IPAddressDeny",
        "LimitCORE",
        "LimitNOFILE",
        "LoadCredential",
        "LoadCredentialEncrypted",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "MemoryMax",
        "NoNewPrivileges",
        "PIDFile",
        "PrivateDevices",
        "PrivateTmp",
        "PrivateUsers",
        "ProcSubset",
        "ProtectClock",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProtectSystem",
        "ReadWritePaths",
        "RemainAfterExit",
        "RemoveIPC",
        "RestrictAddressFamilies",
        "RestrictNamespaces",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "SocketBindAllow",
        "SocketBindDeny",
        "StateDirectory",
        "StateDirectoryMode",
        "SystemCallArchitectures",
        "SystemCallErrorNumber",
        "SystemCallFilter",
        "TasksMax",
        "Type",
        "UMask",
        "User",
    ],
);

/// A remount takes new options.
const MOUNT: [Row; 1] = rows("Mount", Class::Reload, ["Options"]);

/// Every directive with a row.
pub fn directives() -> impl Iterator<Item = &'static Row> {
    UNIT.iter().chain(&SERVICE_REREAD).chain(&SERVICE_STOPPING).chain(&SERVICE_RESTART).chain(&MOUNT)
}

/// Is no change of this unit more than read again?
pub fn is_wholly_reread(name: &str) -> bool {
    WHOLLY_REREAD.contains(&kind(name))
}

/// What a change of a directive asks of the unit `name`.
pub fn class(name: &str, section: &str, directive: &str) -> Class {
    // `[Install]` became links; `X-` is what systemd does not read.
    if is_wholly_reread(name) || section == "Install" || section.starts_with("X-") {
        return Class::Reread;
    }
    if directive.starts_with("X-") || (section == "Unit" && directive.starts_with("Condition")) {
        return Class::Reread;
    }
    directives()
        .find(|row| row.section == section && row.directive == directive)
        .map_or(Class::Restart, |row| row.class)
}

/// A directive that is not what it was: `Service.MemoryMax`.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    pub field: String,
    pub from: Value,
    pub to: Value,
    pub class: Class,
}

/// Every directive of the unit `name` that differs.
pub fn between(name: &str, old: &Unit, new: &Unit) -> Vec<Changed> {
    let mut changed = vec![];
    let sections: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for section in sections {
        let (old, new) = (old.get(section), new.get(section));
        let directives: BTreeSet<&String> = old.into_iter().chain(new).flat_map(|section| section.keys()).collect();
        for directive in directives {
            let value = |section: Option<&std::collections::BTreeMap<String, Vec<String>>>| {
                written(section.and_then(|section| section.get(directive)))
            };
            let (from, to) = (value(old), value(new));
            if from != to {
                let class = class(name, section, directive);
                changed.push(Changed { field: format!("{section}.{directive}"), from, to, class });
            }
        }
    }
    changed
}

/// One value as a text, several as a list.
fn written(values: Option<&Vec<String>>) -> Value {
    match values.map(Vec::as_slice) {
        None => Value::Null,
        Some([one]) => one.as_str().into(),
        Some(several) => several.into(),
    }
}

/// What `X-LeafwrightRestart=` in `[Unit]` says: how far a change may go by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Restart,
    /// Reload instead of a restart.
    Reload,
    /// Whoever operates the machine restarts it when it suits.
    Never,
}

/// The wish of a unit; an unknown word is handed back.
pub fn wish(unit: &Unit) -> Result<Wish, String> {
    let value = unit.get("Unit").and_then(|head| head.get("X-LeafwrightRestart")).and_then(|values| values.last());
    match value.map(String::as_str) {
        None | Some("restart" | "") => Ok(Wish::Restart),
        Some("reload") => Ok(Wish::Reload),
        Some("never") => Ok(Wish::Never),
        Some(other) => Err(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_unit::read_unit;
    use super::*;
    use crate::resolve::directives as known;

    #[test]
    fn each_directive_has_one_row() {
        let mut rows: Vec<_> = directives().map(|row| (row.section, row.directive)).collect();
        let count = rows.len();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), count);
        for (section, directive) in rows {
            let known = known::of_section(section).is_some_and(|mut known| known.any(|known| known == directive));
            assert!(known, "systemd has no {section}.{directive}");
        }
    }

    #[test]
    fn what_changes_is_named_with_its_class() {
        let old = "[Unit]\nDescription=a\nX-Own=1\n[Service]\nExecStart=/a\nKillSignal=TERM\nNew=no\nIPAddressAllow=a\nIPAddressAllow=b";
        let new = "[Unit]\nDescription=b\nX-Own=2\n[Service]\nExecStart=/a\nKillSignal=INT\nIPAddressAllow=a\n[Install]\nAlias=b.service";
        let changed = between("a.service", &read_unit(old), &read_unit(new));
        let found: Vec<_> = changed.iter().map(|change| (change.field.as_str(), change.class)).collect();
        assert_eq!(
            found,
            [
                ("Install.Alias", Class::Reread),
                ("Service.IPAddressAllow", Class::Restart),
                ("Service.KillSignal", Class::Stopping),
                ("Service.New", Class::Restart),
                ("Unit.Description", Class::Reread),
                ("Unit.X-Own", Class::Reread),
            ]
        );
        assert_eq!(changed[1].from, serde_json::json!(["a", "b"]));
        assert_eq!(changed[1].to, "a");
        assert_eq!(changed[3].to, Value::Null);
    }

    #[test]
    fn the_kind_of_a_unit_decides_where_no_row_does() {
        for (name, section, directive, expected) in [
            ("a.target", "Unit", "Odd", Class::Reread),
            ("a.path", "Path", "PathExists", Class::Reread),
            ("a.slice", "Slice", "MemoryMax", Class::Reread),
            ("a.socket", "Socket", "ListenStream", Class::Restart),
            ("a.timer", "Timer", "OnCalendar", Class::Restart),
            ("a.mount", "Mount", "Options", Class::Reload),
            ("a.mount", "Mount", "What", Class::Restart),
            ("a.service", "Unit", "ConditionUser", Class::Reread),
            ("a.service", "Unit", "JoinsNamespaceOf", Class::Restart),
        ] {
            assert_eq!(class(name, section, directive), expected, "{name} {section}.{directive}");
        }
    }
}
