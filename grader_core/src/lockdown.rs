//! Locks up the process that runs a user's Python: no capabilities, no files but those named, no network, and only the
//! system calls of `system_calls`. Linux only. It acts on the calling thread, so a process calls it before it has others.
//!
//! Two layers, so that a fault in one is not the end: Landlock rules over files, TCP ports, abstract sockets and signals
//! by what they lead to; seccomp rules over system calls by their numbers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, PathFdError, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, Scope, make_bitflags, path_beneath_rules,
};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

use crate::system_calls::{ALLOWED, FORBIDDEN_LATER, UNKNOWN, Words};

/// Landlock's version that the promise on files needs: before it, truncating a file asks for no right.
const NEEDED: ABI = ABI::V3;
/// Versions whose further rights are taken where the kernel has them; seccomp forbids the same calls in any case.
const WANTED: ABI = ABI::V6;
const READING: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
/// No sockets, devices, links or pipes; nothing is executed. `Refer` allows moves between folders inside it.
const WRITING: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
});

/// Why the process could not be locked up. It must then end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockdownFault {
    #[error("Landlock is not to be had (Linux 6.2 or newer with Landlock switched on is needed): {0}")]
    Landlock(#[from] RulesetError),
    #[error("a folder to write in cannot be opened: {0}")]
    Folder(#[from] PathFdError),
    #[error("the system call filter cannot be built: {0}")]
    Filter(#[from] BackendError),
    #[error("seccomp is not to be had: {0}")]
    Seccomp(#[from] seccompiler::Error),
    #[error("capabilities cannot be given up: {0}")]
    Capabilities(#[source] rustix::io::Errno),
    #[error("the end of the parent cannot be followed: {0}")]
    Parent(#[source] rustix::io::Errno),
    #[error("the parent has ended")]
    Orphan,
    #[error("no thread to try it in: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the thread to try it in ended early")]
    Trial,
}

/// Leaves this thread `readable` files and folders to read and the folder `writable` to write in, for good. Folders to
/// read that do not exist are left out. It may still fork, but start neither threads nor programs.
pub(crate) fn lock_down(readable: &[PathBuf], writable: Option<&Path>) -> Result<(), LockdownFault> {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(LockdownFault::Capabilities)?;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEEDED))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))?
        .create()?
        .add_rules(path_beneath_rules(readable, READING))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::ReadFile | AccessFs::WriteFile))?;
    if let Some(folder) = writable {
        rules = rules.add_rule(PathBeneath::new(PathFd::new(folder)?, WRITING))?;
    }
    rules.restrict_self()?;
    // The kernel takes the strictest of all filters, and among errors that of the latest. So a call that must look
    // unknown (ENOSYS, after which glibc tries an older one) is allowed by the list that comes second.
    let unknown = rules_of(&[(UNKNOWN, Words::Any)])?;
    apply(unknown, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS.unsigned_abs()))?;
    apply(rules_of(ALLOWED)?, SeccompAction::Errno(libc::EPERM.unsigned_abs()), SeccompAction::Allow)
}

/// Forbids this thread to fork, too, and to end other processes.
pub(crate) fn forbid_processes() -> Result<(), LockdownFault> {
    apply(rules_of(FORBIDDEN_LATER)?, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM.unsigned_abs()))
}

/// Has this process killed when its parent `parent` ends; an error where that has happened already.
pub(crate) fn die_with(parent: i32) -> Result<(), LockdownFault> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(LockdownFault::Parent)?;
    if getppid().map(Pid::as_raw_pid) == Some(parent) { Ok(()) } else { Err(LockdownFault::Orphan) }
}

/// Tries all of it in a thread that then ends: `Ok` where this kernel lets the process lock itself up.
pub(crate) fn try_out() -> Result<(), LockdownFault> {
    let trial = thread::Builder::new().spawn(|| lock_down(&[], None).and_then(|()| forbid_processes()))?;
    trial.join().unwrap_or(Err(LockdownFault::Trial))
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The rules by call: any arguments, or one argument out of a list, or one without certain bits.
fn rules_of(table: &[(&[i64], Words)]) -> Result<Rules, LockdownFault> {
    let mut rules = Rules::new();
    for (calls, words) in table {
        let choices: Vec<(u8, SeccompCmpOp, u64)> = match *words {
            Words::Any => Vec::new(),
            Words::OneOf(place, values) => values.iter().map(|value| (place, SeccompCmpOp::Eq, *value)).collect(),
            Words::Without(place, bits) => vec![(place, SeccompCmpOp::MaskedEq(bits), 0)],
        };
        let rule = |(place, operator, value)| -> Result<SeccompRule, BackendError> {
            SeccompRule::new(vec![SeccompCondition::new(place, SeccompCmpArgLen::Dword, operator, value)?])
        };
        let choices: Vec<SeccompRule> = choices.into_iter().map(rule).collect::<Result<_, _>>()?;
        rules.extend(calls.iter().map(|call| (*call, choices.clone())));
    }
    Ok(rules)
}

fn apply(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<(), LockdownFault> {
    let filter = SeccompFilter::new(rules, otherwise, matched, std::env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(apply_filter(&program)?)
}
