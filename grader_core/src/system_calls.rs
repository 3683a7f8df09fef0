//! The system calls that a process with a user's Python may make; every other is refused with EPERM.
//!
//! What is here acts on the process itself, on its memory, and on files that Landlock judges. Not here, on purpose:
//! sockets; starting programs and threads; signals to anybody; looking into other processes; what outlives the process
//! (System V memory, queues, keys, memory files); rights and times of files and links, over which Landlock has no say.

macro_rules! calls {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

/// What the arguments of a call must be.
#[derive(Clone, Copy)]
pub(crate) enum Words {
    /// Anything.
    Any,
    /// The argument at a place, from 0, is one of these.
    OneOf(u8, &'static [u64]),
    /// The argument at a place has none of these bits.
    Without(u8, u64),
}

/// Calls by what their arguments must be.
type Table = &'static [(&'static [i64], Words)];

/// Calls that must look as if the kernel did not know them. Filters cannot look into the structure that `clone3` takes.
pub(crate) const UNKNOWN: &[i64] = calls![SYS_clone3];

/// What is allowed.
pub(crate) const ALLOWED: Table = &[
    (UNKNOWN, Words::Any),
    (MEMORY, Words::Any),
    (FILES, Words::Any),
    (WAITING, Words::Any),
    (ITSELF, Words::Any),
    (OF_THIS_PROCESSOR, Words::Any),
    // A file without a name would not be seen by the watch over the folder.
    (calls![SYS_openat], Words::Without(2, NAMELESS)),
    #[cfg(target_arch = "x86_64")]
    (calls![SYS_open], Words::Without(1, NAMELESS)),
    // Locks and flags; not who gets signals of a file.
    (calls![SYS_fcntl], Words::OneOf(1, FILE_COMMANDS)),
    // Is it a terminal, how much is there to read, close on exec, do not block.
    (calls![SYS_ioctl], Words::OneOf(1, &[0x5401, 0x541B, 0x5451, 0x5421])),
    // Its own limits, not those of others.
    (calls![SYS_prlimit64], Words::OneOf(0, &[0])),
    (calls![SYS_prctl], Words::OneOf(0, PROCESS_COMMANDS)),
    (calls![SYS_seccomp], Words::OneOf(0, &[ADD_FILTER])),
    // For the process that forks one for each call, to end it.
    (calls![SYS_clone], Words::OneOf(0, FORK)),
    (calls![SYS_kill], Words::OneOf(1, &[KILL])),
];

/// What `forbid_processes` takes away from that.
pub(crate) const FORBIDDEN_LATER: Table =
    &[(calls![SYS_clone SYS_kill SYS_seccomp], Words::Any), (calls![SYS_prctl], Words::OneOf(0, &[DEATH_SIGNAL]))];

const MEMORY: &[i64] = calls![
    SYS_brk SYS_mmap SYS_munmap SYS_mprotect SYS_mremap SYS_madvise SYS_msync SYS_membarrier SYS_get_mempolicy
];

const FILES: &[i64] = calls![
    SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_lseek SYS_close SYS_close_range SYS_dup SYS_dup3
    SYS_fstat SYS_newfstatat SYS_statx SYS_statfs SYS_fstatfs SYS_faccessat SYS_faccessat2 SYS_readlinkat SYS_getdents64
    SYS_getcwd SYS_chdir SYS_fchdir SYS_umask SYS_mkdirat SYS_unlinkat SYS_renameat SYS_renameat2 SYS_ftruncate
    SYS_fallocate SYS_fsync SYS_fdatasync SYS_sendfile SYS_copy_file_range SYS_pipe2
];

const WAITING: &[i64] = calls![
    SYS_ppoll SYS_pselect6 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_eventfd2 SYS_nanosleep
    SYS_clock_nanosleep SYS_futex SYS_sched_yield SYS_restart_syscall SYS_wait4 SYS_waitid
];

const ITSELF: &[i64] = calls![
    SYS_exit SYS_exit_group SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sigaltstack SYS_setitimer
    SYS_getitimer SYS_getpid SYS_getppid SYS_gettid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getgroups
    SYS_getrusage SYS_times SYS_sysinfo SYS_uname SYS_getrandom SYS_clock_gettime SYS_clock_getres SYS_gettimeofday
    SYS_getcpu SYS_sched_getaffinity SYS_set_tid_address SYS_set_robust_list SYS_rseq
];

#[cfg(target_arch = "x86_64")]
const OF_THIS_PROCESSOR: &[i64] = calls![
    SYS_stat SYS_lstat SYS_access SYS_readlink SYS_getdents SYS_mkdir SYS_rmdir SYS_unlink SYS_rename SYS_creat SYS_dup2
    SYS_pipe SYS_poll SYS_select SYS_epoll_create SYS_epoll_wait SYS_eventfd SYS_alarm SYS_pause SYS_time SYS_getpgrp
    SYS_getrlimit
];
#[cfg(not(target_arch = "x86_64"))]
const OF_THIS_PROCESSOR: &[i64] = &[];

/// `O_TMPFILE` without `O_DIRECTORY`, which is allowed.
const NAMELESS: u64 = 0o20_000_000;
/// `F_DUPFD`, `F_GETFD`, `F_SETFD`, `F_GETFL`, `F_SETFL`, `F_GETLK`, `F_SETLK`, `F_SETLKW`, `F_DUPFD_CLOEXEC`.
const FILE_COMMANDS: &[u64] = &[0, 1, 2, 3, 4, 5, 6, 7, 1030];
const KILL: u64 = 9;
const DEATH_SIGNAL: u64 = 1;
/// `PR_SET_PDEATHSIG`, `PR_SET_NAME`, `PR_GET_NAME`, `PR_SET_NO_NEW_PRIVS`, `PR_SET_VMA` (names of memory, for glibc).
const PROCESS_COMMANDS: &[u64] = &[DEATH_SIGNAL, 15, 16, 38, 0x5356_4d41];
/// `SECCOMP_SET_MODE_FILTER`: more filters can only forbid more.
const ADD_FILTER: u64 = 1;
/// The flags of a plain fork: `SIGCHLD`, with or without `CLONE_CHILD_SETTID` and `CLONE_CHILD_CLEARTID`.
const FORK: &[u64] = &[0x11, 0x0120_0011];
