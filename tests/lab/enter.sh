#!/usr/bin/env bash
# The first process of a scenario's own pid, mount, network, uts and ipc namespaces: makes them habitable, then runs the scenario.
# Everything in here ends with it. It refuses to outlive the scenario, and touches nothing that is seen from outside.
set -euo pipefail

mount -t proc proc /proc
# The outer process put us into `ctl` below the scenario's cgroup; the machines get theirs beside it.
own=$(awk -F: '$1 == 0 { print $3 }' /proc/self/cgroup)
# A fresh cgroup2: the host may have its controllers in v1, and systemd in a machine wants one clean tree.
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export LEAFWRIGHT_LAB_CGROUP=/sys/fs/cgroup${own%/ctl}
# systemd-nspawn wants a tmpfs here, and `ip netns` keeps its names here.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lab /run/netns

# Not `exec`: the first process also reaps what nobody waits for, which bash does.
code=0
"$@" || code=$?
exit "$code"
