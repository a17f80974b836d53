//! The directives that systemd knows, by section: the manager of version 257 prints them (`systemd --dump-configuration-items`),
//! old spellings among them; what 258 to 260 added is from `src/core/load-fragment-gperf.gperf.in` and the release notes.
//!
//! And which sections a unit of a kind has: systemd.unit(5), systemd.service(5) and the pages of the other kinds.
//!
//! Refuses: saying that a directive is wrong. A newer systemd knows more.

use crate::declare::nearest;

/// The end of a unit's name, and the section that is its kind's own; a target has none.
const KINDS: [(&str, Option<&str>); 9] = [
    ("service", Some("Service")),
    ("socket", Some("Socket")),
    ("timer", Some("Timer")),
    ("target", None),
    ("path", Some("Path")),
    ("mount", Some("Mount")),
    ("automount", Some("Automount")),
    ("slice", Some("Slice")),
    ("swap", Some("Swap")),
];

/// The section of the unit's own kind, or what to write instead of its name.
pub fn own_section(name: &str) -> Result<Option<&'static str>, String> {
    let word = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let ends = || KINDS.iter().map(|(kind, _)| *kind);
    let Some((stem, kind)) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else {
        return Err(format!("a unit ends with its kind: `{name}.service`"));
    };
    if !name.chars().all(word) {
        return Err("letters, digits and `:-_.\\@`".to_owned());
    }
    KINDS.iter().find(|(known, _)| *known == kind).map(|(_, own)| *own).ok_or_else(|| match nearest(kind, ends()) {
        Some(near) => format!("write `{stem}.{near}`"),
        None => format!("a unit ends with its kind: {}", ends().collect::<Vec<_>>().join(", ")),
    })
}

/// Sections and directives are words, so that none can be more than a name.
pub fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// The directives that a section may have; `None` for a section that no unit of systemd has, and for those of others (`X-`).
pub fn of_section(section: &str) -> Option<impl Iterator<Item = &'static str>> {
    let lists: &[&'static str] = match section {
        "Unit" => &[UNIT],
        "Install" => &[INSTALL],
        "Service" => &[SERVICE, PROCESS, GROUP],
        "Socket" => &[SOCKET, PROCESS, GROUP],
        "Mount" => &[MOUNT, PROCESS, GROUP],
        "Swap" => &[SWAP, PROCESS, GROUP],
        "Slice" => &[GROUP],
        "Timer" => &[TIMER],
        "Path" => &[PATH],
        "Automount" => &[AUTOMOUNT],
        _ => return None,
    };
    Some(lists.iter().flat_map(|list| list.split(' ')))
}

/// systemd.resource-control(5): what has processes, and slices.
const GROUP: &str = "\
    AllowedCPUs AllowedMemoryNodes BPFProgram BindNetworkInterface BlockIOAccounting BlockIODeviceWeight \
    BlockIOReadBandwidth BlockIOWeight BlockIOWriteBandwidth CPUAccounting CPUQuota CPUQuotaPeriodSec \
    CPUShares CPUWeight CoredumpReceive DefaultMemoryLow DefaultMemoryMin DefaultStartupMemoryLow Delegate \
    DelegateSubgroup DeviceAllow DevicePolicy DisableControllers IOAccounting IODeviceLatencyTargetSec \
    IODeviceWeight IOReadBandwidthMax IOReadIOPSMax IOWeight IOWriteBandwidthMax IOWriteIOPSMax IPAccounting \
    IPAddressAllow IPAddressDeny IPEgressFilterPath IPIngressFilterPath ManagedOOMMemoryPressure \
    ManagedOOMMemoryPressureDurationSec ManagedOOMMemoryPressureLimit ManagedOOMPreference ManagedOOMSwap \
    MemoryAccounting MemoryHigh MemoryLimit MemoryLow MemoryMax MemoryMin MemoryPressureThresholdSec \
    MemoryPressureWatch MemorySwapMax MemoryZSwapMax MemoryZSwapWriteback NFTSet NetClass \
    RestrictNetworkInterfaces Slice SocketBindAllow SocketBindDeny StartupAllowedCPUs \
    StartupAllowedMemoryNodes StartupBlockIOWeight StartupCPUShares StartupCPUWeight StartupIOWeight \
    StartupMemoryHigh StartupMemoryLow StartupMemoryMax StartupMemorySwapMax StartupMemoryZSwapMax \
    TasksAccounting TasksMax";

/// systemd.exec(5), systemd.kill(5): what starts processes.
const PROCESS: &str = "\
    AmbientCapabilities AppArmorProfile BPFDelegateAttachments BPFDelegateCommands BPFDelegateMaps \
    BPFDelegatePrograms BindLogSockets BindPaths BindReadOnlyPaths CPUAffinity CPUSchedulingPolicy \
    CPUSchedulingPriority CPUSchedulingResetOnFork CacheDirectory CacheDirectoryAccounting CacheDirectoryMode \
    CacheDirectoryQuota Capabilities CapabilityBoundingSet ConfigurationDirectory ConfigurationDirectoryMode \
    CoredumpFilter DelegateNamespaces DynamicUser Environment EnvironmentFile ExecPaths ExecSearchPath \
    ExtensionDirectories ExtensionImagePolicy ExtensionImages FinalKillSignal Group IOSchedulingClass \
    IOSchedulingPriority IPCNamespacePath IgnoreSIGPIPE ImportCredential InaccessibleDirectories \
    InaccessiblePaths KeyringMode KillMode KillSignal LandlockConfig LimitAS LimitCORE LimitCPU LimitDATA \
    LimitFSIZE LimitLOCKS LimitMEMLOCK LimitMSGQUEUE LimitNICE LimitNOFILE LimitNPROC LimitRSS LimitRTPRIO \
    LimitRTTIME LimitSIGPENDING LimitSTACK LoadCredential LoadCredentialEncrypted LockPersonality \
    LogExtraFields LogFilterPatterns LogLevelMax LogNamespace LogRateLimitBurst LogRateLimitIntervalSec \
    LogsDirectory LogsDirectoryAccounting LogsDirectoryMode LogsDirectoryQuota MemoryDenyWriteExecute \
    MemoryKSM MemoryTHP MountAPIVFS MountFlags MountImagePolicy MountImages NUMAMask NUMAPolicy \
    NetworkNamespacePath Nice NoExecPaths NoNewPrivileges OOMScoreAdjust PAMName PassEnvironment Personality \
    PrivateBPF PrivateDevices PrivateIPC PrivateMounts PrivateNetwork PrivatePIDs PrivateTmp PrivateUsers \
    ProcSubset ProtectClock ProtectControlGroups ProtectHome ProtectHostname ProtectKernelLogs \
    ProtectKernelModules ProtectKernelTunables ProtectProc ProtectSystem ReadOnlyDirectories ReadOnlyPaths \
    ReadWriteDirectories ReadWritePaths RemoveIPC RestartKillSignal RestrictAddressFamilies \
    RestrictFileSystems RestrictNamespaces RestrictRealtime RestrictSUIDSGID RootDirectory RootEphemeral \
    RootHash RootHashSignature RootImage RootImageOptions RootImagePolicy RootMStack RootVerity \
    RuntimeDirectory RuntimeDirectoryMode RuntimeDirectoryPreserve SELinuxContext SecureBits SendSIGHUP \
    SendSIGKILL SetCredential SetCredentialEncrypted SetLoginEnvironment SmackProcessLabel StandardError \
    StandardInput StandardInputData StandardInputText StandardOutput StateDirectory StateDirectoryAccounting \
    StateDirectoryMode StateDirectoryQuota SupplementaryGroups SyslogFacility SyslogIdentifier SyslogLevel \
    SyslogLevelPrefix SystemCallArchitectures SystemCallErrorNumber SystemCallFilter SystemCallLog TTYColumns \
    TTYPath TTYReset TTYRows TTYVHangup TTYVTDisallocate TemporaryFileSystem TimeoutCleanSec TimeoutSec \
    TimerSlackNSec UMask UnsetEnvironment User UserNamespacePath UtmpIdentifier UtmpMode WatchdogSignal \
    WorkingDirectory";

/// systemd.unit(5), for all.
const UNIT: &str = "\
    After AllowIsolate AssertACPower AssertArchitecture AssertCPUFeature AssertCPUPressure AssertCPUs \
    AssertCapability AssertControlGroupController AssertCredential AssertDirectoryNotEmpty AssertEnvironment \
    AssertFileIsExecutable AssertFileNotEmpty AssertFirstBoot AssertGroup AssertHost AssertIOPressure \
    AssertKernelCommandLine AssertKernelModuleLoaded AssertKernelVersion AssertMemory AssertMemoryPressure \
    AssertNeedsUpdate AssertOSRelease AssertPathExists AssertPathExistsGlob AssertPathIsDirectory \
    AssertPathIsEncrypted AssertPathIsMountPoint AssertPathIsReadWrite AssertPathIsSymbolicLink AssertSecurity \
    AssertUser AssertVersion AssertVirtualization Before BindTo BindsTo CollectMode ConditionACPower \
    ConditionArchitecture ConditionCPUFeature ConditionCPUPressure ConditionCPUs ConditionCapability \
    ConditionControlGroupController ConditionCredential ConditionDirectoryNotEmpty ConditionEnvironment \
    ConditionFileIsExecutable ConditionFileNotEmpty ConditionFirmware ConditionFirstBoot ConditionGroup \
    ConditionHost ConditionIOPressure ConditionKernelCommandLine ConditionKernelModuleLoaded \
    ConditionKernelVersion ConditionMemory ConditionMemoryPressure ConditionNeedsUpdate ConditionOSRelease \
    ConditionPathExists ConditionPathExistsGlob ConditionPathIsDirectory ConditionPathIsEncrypted \
    ConditionPathIsMountPoint ConditionPathIsReadWrite ConditionPathIsSymbolicLink ConditionSecurity \
    ConditionUser ConditionVersion ConditionVirtualization Conflicts DefaultDependencies Description \
    Documentation FailureAction FailureActionExitStatus IgnoreOnIsolate IgnoreOnSnapshot JobRunningTimeoutSec \
    JobTimeoutAction JobTimeoutRebootArgument JobTimeoutSec JoinsNamespaceOf OnFailure OnFailureIsolate \
    OnFailureJobMode OnSuccess OnSuccessJobMode PartOf PropagateReloadFrom PropagateReloadTo \
    PropagatesReloadTo PropagatesStopTo RebootArgument RefuseManualStart RefuseManualStop ReloadPropagatedFrom \
    Requires RequiresMountsFor RequiresOverridable Requisite RequisiteOverridable SourcePath StartLimitAction \
    StartLimitBurst StartLimitInterval StartLimitIntervalSec StopPropagatedFrom StopWhenUnneeded SuccessAction \
    SuccessActionExitStatus SurviveFinalKillSignal Upholds Wants WantsMountsFor";

/// systemd.unit(5), what `systemctl enable` reads.
const INSTALL: &str = "\
    Alias Also DefaultInstance RequiredBy UpheldBy WantedBy";

/// systemd.service(5).
const SERVICE: &str = "\
    BusName BusPolicy ExecCondition ExecReload ExecReloadPost ExecStart ExecStartPost ExecStartPre ExecStop \
    ExecStopPost ExitType FailureAction FileDescriptorStoreMax FileDescriptorStorePreserve GuessMainPID \
    NonBlocking NotifyAccess OOMPolicy OpenFile PIDFile PermissionsStartOnly RebootArgument RefreshOnReload \
    ReloadSignal RemainAfterExit Restart RestartForceExitStatus RestartMaxDelaySec RestartMode \
    RestartPreventExitStatus RestartSec RestartSteps RootDirectoryStartOnly RuntimeMaxSec \
    RuntimeRandomizedExtraSec Sockets StartLimitAction StartLimitBurst StartLimitInterval SuccessExitStatus \
    SysVStartPriority TimeoutAbortSec TimeoutStartFailureMode TimeoutStartSec TimeoutStopFailureMode \
    TimeoutStopSec Type USBFunctionDescriptors USBFunctionStrings WatchdogSec";

/// systemd.socket(5).
const SOCKET: &str = "\
    Accept AcceptFileDescriptors Backlog BindIPv6Only BindToDevice Broadcast DeferAcceptSec DeferTrigger \
    DeferTriggerMaxSec DirectoryMode ExecStartPost ExecStartPre ExecStopPost ExecStopPre FileDescriptorName \
    FlushPending FreeBind IPTOS IPTTL KeepAlive KeepAliveIntervalSec KeepAliveProbes KeepAliveTimeSec \
    ListenDatagram ListenFIFO ListenMessageQueue ListenNetlink ListenSequentialPacket ListenSpecial \
    ListenStream ListenUSBFunction Mark MaxConnections MaxConnectionsPerSource MessageQueueMaxMessages \
    MessageQueueMessageSize NoDelay PassCredentials PassFileDescriptorsToExec PassPIDFD PassPacketInfo \
    PassSecurity PipeSize PollLimitBurst PollLimitIntervalSec Priority ReceiveBuffer RemoveOnStop ReusePort \
    SELinuxContextFromNet SendBuffer Service SmackLabel SmackLabelIPIn SmackLabelIPOut SocketGroup SocketMode \
    SocketProtocol SocketUser Symlinks TCPCongestion Timestamping Transparent TriggerLimitBurst \
    TriggerLimitIntervalSec Writable";

/// systemd.timer(5).
const TIMER: &str = "\
    AccuracySec DeferReactivation FixedRandomDelay OnActiveSec OnBootSec OnCalendar OnClockChange OnStartupSec \
    OnTimezoneChange OnUnitActiveSec OnUnitInactiveSec Persistent RandomizedDelaySec RemainAfterElapse Unit \
    WakeSystem";

/// systemd.path(5).
const PATH: &str = "\
    DirectoryMode DirectoryNotEmpty MakeDirectory PathChanged PathExists PathExistsGlob PathModified \
    TriggerLimitBurst TriggerLimitIntervalSec Unit";

/// systemd.mount(5).
const MOUNT: &str = "\
    DirectoryMode ForceUnmount LazyUnmount Options ReadWriteOnly SloppyOptions Type What Where";

/// systemd.automount(5).
const AUTOMOUNT: &str = "\
    DirectoryMode ExtraOptions TimeoutIdleSec Where";

/// systemd.swap(5).
const SWAP: &str = "\
    Options Priority What";
