#!/usr/bin/env bash
# One-machine Slurm for tests, run as root without systemd or cgroups.
#   slurm_one.sh start DIR   writes DIR/slurm.conf, starts munged + slurmctld + slurmd on loopback
#   slurm_one.sh stop  DIR   stops exactly those three, by the pids they wrote under DIR
#   eval "$(slurm_one.sh env DIR)"   exports SLURM_CONF for sbatch and srun
# Needs (Debian 12): apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge
set -euo pipefail
act=${1:?start|stop|env}; dir=$(realpath -m "${2:?folder}")
host=$(hostname -s); cpus=$(nproc); mem=$(awk '/MemTotal/{print int($2/1024*0.8)}' /proc/meminfo)
conf=$dir/slurm.conf; sock=$dir/munge.socket

alive() {  # pid file -> true only while that pid is the daemon the file is named after
  local n; n=$(basename "$1" .pid); [ -s "$1" ] && case $(cat "/proc/$(cat "$1")/comm" 2>/dev/null) in "$n"*) ;; *) false ;; esac
}
wait_for() { for _ in $(seq 100); do if eval "$1" >/dev/null 2>&1; then return 0; fi; sleep 0.1; done; echo "timed out: $1" >&2; return 1; }

write_conf() {
  cat > "$conf" <<C
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$sock
CredType=cred/munge
SlurmctldPort=${SLURM_ONE_CTLD_PORT:-16817}
SlurmdPort=${SLURM_ONE_D_PORT:-16818}
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=256
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1
KillWait=5
MinJobAge=600
SlurmctldTimeout=30
SlurmdTimeout=30
InactiveLimit=0
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$mem Gres=gpu:4 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=$host MaxTime=INFINITE State=UP OverSubscribe=NO PriorityTier=2 PreemptMode=OFF
${SLURM_ONE_LIMITS:-}
C
  # Four GPUs that are none: Slurm takes any device files, and tells jobs which ones are theirs.
  printf 'Name=gpu File=/dev/%s\n' null zero full random > "$dir/gres.conf"
}

case $act in
  env) echo "export SLURM_CONF=$conf" ;;
  start)
    umask 022; mkdir -p "$dir"/state "$dir"/spool; chmod 755 "$dir"
    [ -s "$dir/munge.key" ] || { head -c 128 /dev/urandom > "$dir/munge.key"; chmod 400 "$dir/munge.key"; }
    write_conf; export SLURM_CONF=$conf
    alive "$dir/munged.pid" || munged --key-file="$dir/munge.key" --socket="$sock" --pid-file="$dir/munged.pid" \
        --log-file="$dir/munged.log" --seed-file="$dir/munged.seed" --num-threads=1
    wait_for "[ -S $sock ]"
    alive "$dir/slurmctld.pid" || slurmctld -f "$conf"
    wait_for "scontrol ping | grep -q ' is UP'"
    alive "$dir/slurmd.pid" || slurmd -f "$conf" -N "$host"
    wait_for "sinfo -h -o %T | grep -qE '^(idle|mixed|allocated)$'"
    ;;
  stop)
    export SLURM_CONF=$conf
    if alive "$dir/slurmctld.pid" && [ -n "$(squeue -h -o %i)" ]; then
      scancel --user="$(id -un)"; wait_for '[ -z "$(squeue -h -o %i)" ]' || true   # our jobs wait for a report after TERM: KillWait, then KILL
    fi
    for d in slurmd slurmctld munged; do
      f=$dir/$d.pid
      if alive "$f"; then
        p=$(cat "$f"); kill -TERM "$p"
        for _ in $(seq 100); do kill -0 "$p" 2>/dev/null || break; sleep 0.1; done
        if kill -0 "$p" 2>/dev/null; then kill -KILL "$p"; fi
      fi
    done
    ;;
  *) echo "unknown action $act" >&2; exit 2 ;;
esac
