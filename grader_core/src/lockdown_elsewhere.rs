//! Stands in for `lockdown` where there is neither Landlock nor seccomp: every function is an error.

use std::path::{Path, PathBuf};

/// Why the process could not be locked up. It must then end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockdownFault {
    #[error("running a user's Python needs Linux")]
    NeedsLinux,
}

pub(crate) fn lock_down(_readable: &[PathBuf], _writable: Option<&Path>) -> Result<(), LockdownFault> {
    Err(LockdownFault::NeedsLinux)
}

pub(crate) fn forbid_processes() -> Result<(), LockdownFault> {
    Err(LockdownFault::NeedsLinux)
}

pub(crate) fn die_with(_parent: i32) -> Result<(), LockdownFault> {
    Err(LockdownFault::NeedsLinux)
}

pub(crate) fn try_out() -> Result<(), LockdownFault> {
    Err(LockdownFault::NeedsLinux)
}
