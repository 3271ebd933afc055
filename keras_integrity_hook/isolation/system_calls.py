# SPDX-License-Identifier: Apache-2.0
"""Which system calls a confined process may make: what is not named here is refused.

The list is what Python, TensorFlow, JAX and torch were seen to need for a load and a forward pass
on the CPU (strace), and what is harmless and of the same family. Left out on purpose, because
Landlock does not judge them (its documentation, "Current limitations"): modes, owners, times and
attributes of files, and the truncation of files that are only open for reading before ABI 3.
"""

from __future__ import annotations

import os


def _named(*lines: str) -> frozenset[str]:
    return frozenset(name for line in lines for name in line.split())


ALLOWED = _named(
    # Memory
    "brk mmap munmap mprotect mremap madvise msync mincore mlock munlock",
    # Descriptors that are open already
    "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close",
    "close_range dup dup2 dup3 fstat fstatfs statfs fsync fdatasync ftruncate fallocate fadvise64",
    "flock sendfile copy_file_range getdents getdents64 pipe pipe2 eventfd eventfd2 epoll_create",
    "epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll ppoll select pselect6",
    "timerfd_create timerfd_settime timerfd_gettime recvmsg sendmsg recvfrom getsockopt",
    # Looking at paths: Landlock judges what is opened, and nobody what is only looked at
    "stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getcwd umask",
    # Time, threads and signals of its own
    "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage",
    "getitimer setitimer alarm futex futex_waitv set_robust_list get_robust_list rseq membarrier",
    "set_tid_address sched_yield sched_getaffinity sched_getparam sched_getscheduler",
    "sched_get_priority_max sched_get_priority_min getcpu restart_syscall pause exit exit_group",
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait",
    "sigaltstack arch_prctl wait4 waitid",
    # Who and where it is
    "getpid gettid getppid getuid geteuid getgid getegid getgroups getresuid getresgid getpgrp",
    "getpgid getsid getpriority getrlimit uname sysinfo getrandom capget get_mempolicy",
)

# Opens and changes by path: Landlock judges them, and the parent is shown each, to tell.
# The numbers are those of the arguments that are paths.
SHOWN = {
    "open": (0,),
    "openat": (1,),
    "creat": (0,),
    "mkdir": (0,),
    "mkdirat": (1,),
    "rmdir": (0,),
    "unlink": (0,),
    "unlinkat": (1,),
    "rename": (0, 1),
    "renameat": (1, 3),
    "renameat2": (1, 3),
    "symlink": (1,),
    "symlinkat": (2,),
    "link": (0, 1),
    "linkat": (1, 3),
    "chdir": (0,),
}
REFUSED_WITH_PATH = {
    "truncate": (0,),
    "execve": (0,),
    "execveat": (1,),
    "mknod": (0,),
    "mknodat": (1,),
    "chmod": (0,),
    "fchmodat": (1,),
    "fchmodat2": (1,),
    "chown": (0,),
    "lchown": (0,),
    "fchownat": (1,),
    "utime": (0,),
    "utimes": (0,),
    "utimensat": (1,),
    "futimesat": (1,),
    "setxattr": (0,),
    "lsetxattr": (0,),
    "removexattr": (0,),
    "lremovexattr": (0,),
    "openat2": (1,),
    "mount": (1,),
    "umount2": (0,),
    "chroot": (0,),
    "swapon": (0,),
    "name_to_handle_at": (1,),
    "uselib": (0,),
}
"""Refused calls whose arguments of these numbers are paths."""

PATHS = {**REFUSED_WITH_PATH, **SHOWN}

# Refused without a word: libraries ask for these by themselves and do without.
UNSUPPORTED = frozenset({"clone3"})  # ENOSYS: the C library falls back to clone(2)
UNWANTED = _named(
    "sched_setaffinity sched_setscheduler sched_setparam sched_setattr setpriority ioprio_set",
    "mbind set_mempolicy set_mempolicy_home_node migrate_pages move_pages",
)  # EPERM

FCNTL = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1033, 1034})
"""Commands of fcntl(2): duplicates, flags, locks, sizes of pipes, seals; not who gets signals."""

IOCTL = frozenset({0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451})
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""

PRCTL = frozenset({3, 15, 16, 23, 27, 39, 0x53564D41})
"""Names of threads and of memory, and questions."""

CLONE_OF_THREAD = 0x00010100  # CLONE_THREAD | CLONE_VM
CLONE_JUDGED = CLONE_OF_THREAD | 0x7E020080  # and all of CLONE_NEW*, which must not be there

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def is_unjudged(flags: int) -> bool:
    """Whether Landlock would not judge what an open with ``flags`` can do.

    Before ABI 3 it asks what the descriptor can do, and one of ``O_RDONLY | O_TRUNC``, which cuts
    the file, can only read. One of the fourth kind of access, for ioctl alone, can do neither.
    """
    kind = flags & 3
    return kind == 3 or (kind == os.O_RDONLY and bool(flags & os.O_TRUNC))
