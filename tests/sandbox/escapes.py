# SPDX-License-Identifier: Apache-2.0
"""What code of a model does to get out of a sandbox, each a function of its own.

The text of this module is put into a model as it stands and run in the sandbox when that is loaded,
so it imports nothing but the standard library, and that in the functions. ``world`` is what is to
be attacked: real files, processes and sockets of the test. A function that returns has got out;
one that raises was refused.
"""

# mypy: disable-error-code="func-returns-value"

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

World = dict[str, Any]


class Escape(NamedTuple):
    """One attempt.

    Attributes:
        told: the system calls, one of which the report has to name.
        where: a key of ``world``, or a text, that the report has to name with it.
    """

    run: Callable[[World], object]
    told: tuple[str, ...]
    where: str


ESCAPES: dict[str, Escape] = {}

# Numbers of system calls on x86-64 that Python has no function for.
NUMBERS = {
    "acct": 163,
    "add_key": 248,
    "adjtimex": 159,
    "bpf": 321,
    "clone": 56,
    "execveat": 322,
    "fanotify_init": 300,
    "finit_module": 313,
    "fsopen": 430,
    "futimesat": 261,
    "init_module": 175,
    "inotify_init1": 294,
    "io_setup": 206,
    "io_uring_setup": 425,
    "ioperm": 173,
    "iopl": 172,
    "kcmp": 312,
    "kexec_load": 246,
    "keyctl": 250,
    "memfd_create": 319,
    "memfd_secret": 447,
    "modify_ldt": 154,
    "mount": 165,
    "mount_setattr": 442,
    "move_mount": 429,
    "mq_open": 240,
    "msgget": 68,
    "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    "open_tree": 428,
    "openat2": 437,
    "perf_event_open": 298,
    "personality": 135,
    "pidfd_getfd": 438,
    "pidfd_open": 434,
    "pidfd_send_signal": 424,
    "pivot_root": 155,
    "process_madvise": 440,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "ptrace": 101,
    "quotactl": 179,
    "reboot": 169,
    "request_key": 249,
    "rt_sigqueueinfo": 129,
    "rt_tgsigqueueinfo": 297,
    "seccomp": 317,
    "semget": 64,
    "sethostname": 170,
    "setns": 308,
    "settimeofday": 164,
    "shmat": 30,
    "shmget": 29,
    "swapon": 167,
    "syslog": 103,
    "tkill": 200,
    "umount2": 166,
    "unshare": 272,
    "userfaultfd": 323,
    "vfork": 58,
    "vmsplice": 278,
}


def escape(
    *told: str, where: str = ""
) -> Callable[[Callable[[World], object]], Callable[[World], object]]:
    """Note a function as an attempt that is told by one of these calls."""

    def noted(run: Callable[[World], object]) -> Callable[[World], object]:
        ESCAPES[run.__name__] = Escape(run, told or (run.__name__,), where)
        return run

    return noted


def call(name: str, *arguments: Any) -> int:
    """A system call by its number. Raises OSError."""
    import ctypes
    import os

    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result: int = libc.syscall(ctypes.c_long(NUMBERS[name]), *given)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _simple(name: str, *arguments: Any, where: str = "") -> None:
    """Note a bare system call as an attempt of its name."""

    def run(world: World) -> object:
        return call(name, *arguments)

    run.__name__ = name
    escape(name, where=where)(run)


# --- files of others, read


@escape("openat", "open", where="secret")
def read_a_file(world: World) -> object:
    with open(world["secret"]) as file:
        return file.read()


@escape("openat", "open", where="/etc/shadow")
def read_the_passwords(world: World) -> object:
    with open("/etc/shadow") as file:
        return file.read(10)


@escape("openat", "open", where="folder")
def list_a_directory(world: World) -> object:
    import os

    return os.listdir(world["folder"])


@escape("openat", "open", where="folder")
def read_by_dots(world: World) -> object:
    import os

    up = os.path.relpath(world["secret"], os.getcwd())
    with open(up) as file:
        return file.read()


@escape("openat", "open")
def read_by_a_symbolic_link(world: World) -> object:
    import os

    link = os.path.join(os.environ["TMPDIR"], "innocent")
    os.symlink(world["secret"], link)
    with open(link) as file:
        return file.read()


@escape("openat", "open")
def read_by_a_file_descriptor_of_a_directory(world: World) -> object:
    import os

    fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
    with open(os.open(world["secret"].lstrip("/"), os.O_RDONLY, dir_fd=fd)) as file:
        return file.read()


@escape("link", "linkat", where="secret")
def read_by_a_hard_link(world: World) -> object:
    import os

    link = os.path.join(os.environ["TMPDIR"], "hard")
    os.link(world["secret"], link)
    with open(link) as file:
        return file.read()


@escape("rename", "renameat", "renameat2", where="secret")
def take_a_file_away(world: World) -> object:
    import os

    return os.rename(world["secret"], os.path.join(os.environ["TMPDIR"], "taken"))


@escape("openat2", where="secret")
def openat2(world: World) -> object:
    import ctypes

    how = (ctypes.c_uint64 * 3)(0, 0, 0)
    return call("openat2", -100, ctypes.c_char_p(world["secret"].encode()), how, 24)


@escape("name_to_handle_at", "open_by_handle_at")
def read_by_a_handle(world: World) -> object:
    import ctypes

    handle = ctypes.create_string_buffer(b"\x78\0\0\0\0\0\0\0", 128)
    mount = ctypes.c_int()
    path = ctypes.c_char_p(world["secret"].encode())
    call("name_to_handle_at", -100, path, handle, ctypes.byref(mount), 0)
    return call("open_by_handle_at", -100, handle, 0)


# --- files of others, written


@escape("openat", "open", where="folder")
def write_a_file(world: World) -> object:
    with open(world["folder"] + "/escaped", "w") as file:
        return file.write("escaped")


@escape("openat", "open", where="secret")
def overwrite_a_file(world: World) -> object:
    with open(world["secret"], "r+") as file:
        return file.write("escaped")


@escape("openat", "open", where="secret")
def cut_a_file_that_is_open_for_reading(world: World) -> object:
    """Landlock before ABI 3 does not judge truncation."""
    import os

    return os.open(world["secret"], os.O_RDONLY | os.O_TRUNC)


@escape("truncate", where="secret")
def cut_a_file(world: World) -> object:
    import os

    return os.truncate(world["secret"], 0)


@escape("unlink", "unlinkat", where="secret")
def remove_a_file(world: World) -> object:
    import os

    return os.unlink(world["secret"])


@escape("mkdir", "mkdirat", where="folder")
def make_a_directory(world: World) -> object:
    import os

    return os.mkdir(world["folder"] + "/escaped")


@escape("rename", "renameat", "renameat2", "openat", where="folder")
def put_a_file_there(world: World) -> object:
    import os

    mine = os.path.join(os.environ["TMPDIR"], "mine")
    with open(mine, "w") as file:
        file.write("escaped")
    return os.rename(mine, world["folder"] + "/escaped")


@escape("symlink", "symlinkat", where="folder")
def put_a_link_there(world: World) -> object:
    import os

    return os.symlink("/etc/passwd", world["folder"] + "/escaped")


@escape("chmod", "fchmodat", "fchmodat2", where="secret")
def open_a_file_to_all(world: World) -> object:
    import os

    return os.chmod(world["secret"], 0o777)


@escape("chown", "fchownat", "lchown", where="secret")
def give_a_file_away(world: World) -> object:
    import os

    return os.chown(world["secret"], 65534, 65534)


@escape("utimensat", where="secret")
def set_the_time_of_a_file(world: World) -> object:
    import os

    return os.utime(world["secret"], (1, 1))


@escape("setxattr", where="secret")
def set_an_attribute_of_a_file(world: World) -> object:
    import os

    return os.setxattr(world["secret"], "user.escaped", b"1")


@escape("openat", "open", where="numpy")
def change_a_library(world: World) -> object:
    import os

    import numpy as np

    with open(os.path.join(os.path.dirname(np.__file__), "escaped.py"), "w") as file:
        return file.write("escaped")


@escape("openat", "open", where="/dev/shm")
def shared_memory_file(world: World) -> object:
    with open("/dev/shm/keras-integrity-escaped", "w") as file:
        return file.write("escaped")


@escape("openat", "open", where="/dev/")
def write_to_the_terminal(world: World) -> object:
    with open("/dev/tty", "w") as file:
        return file.write("escaped")


@escape("openat", "open", where="/dev/ptmx")
def terminal_of_its_own(world: World) -> object:
    import os

    return os.open("/dev/ptmx", os.O_RDWR)


@escape("mknod", "mknodat")
def make_a_device_node(world: World) -> object:
    import os
    import stat

    node = os.path.join(os.environ["TMPDIR"], "null")
    return os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(1, 3))


# --- other processes, the parent's first of all


@escape("openat", "open", where="/environ")
def environment_of_the_parent(world: World) -> object:
    import os

    with open(f"/proc/{os.getppid()}/environ", "rb") as file:
        return file.read()


@escape("openat", "open", where="/mem")
def memory_of_the_parent(world: World) -> object:
    import os

    with open(f"/proc/{os.getppid()}/mem", "r+b") as file:
        return file.read(1)


@escape("openat", "open")
def descriptors_of_the_parent(world: World) -> object:
    import os

    return os.listdir(f"/proc/{os.getppid()}/fd")


@escape("openat", "open")
def root_of_another_process(world: World) -> object:
    with open(f"/proc/{world['victim']}/root{world['secret']}") as file:
        return file.read()


@escape("kill")
def kill_the_parent(world: World) -> object:
    import os
    import signal

    return os.kill(os.getppid(), signal.SIGKILL)


@escape("kill")
def kill_another(world: World) -> object:
    import os
    import signal

    return os.kill(world["victim"], signal.SIGKILL)


@escape("kill")
def kill_everybody(world: World) -> object:
    import os

    return os.kill(-1, 0)


@escape("kill")
def kill_the_group(world: World) -> object:
    import os

    return os.kill(0, 0)


@escape("tkill")
def kill_a_thread(world: World) -> object:
    return call("tkill", world["victim"], 9)


@escape("pidfd_open")
def kill_by_a_descriptor(world: World) -> object:
    import os
    import signal

    fd = os.pidfd_open(world["victim"])
    return signal.pidfd_send_signal(fd, signal.SIGKILL)


@escape("rt_sigqueueinfo")
def kill_with_a_value(world: World) -> object:
    import ctypes

    return call("rt_sigqueueinfo", world["victim"], 9, ctypes.create_string_buffer(128))


@escape("fcntl")
def signals_by_a_pipe(world: World) -> object:
    """F_SETOWN: who is told when there is something to read."""
    import fcntl
    import os

    return fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, world["victim"])


@escape("ptrace")
def attach_as_a_debugger(world: World) -> object:
    return call("ptrace", 16, world["victim"], 0, 0)


@escape("process_vm_readv")
def read_the_memory_of_another(world: World) -> object:
    return call("process_vm_readv", world["victim"], 0, 0, 0, 0, 0)


@escape("process_vm_writev")
def write_the_memory_of_another(world: World) -> object:
    return call("process_vm_writev", world["victim"], 0, 0, 0, 0, 0)


@escape("pidfd_open", "pidfd_getfd")
def take_a_descriptor_of_another(world: World) -> object:
    return call("pidfd_getfd", call("pidfd_open", world["victim"], 0), 0, 0)


@escape("prlimit64")
def limits_of_another(world: World) -> object:
    import resource

    return resource.prlimit(world["victim"], resource.RLIMIT_NOFILE, (0, 0))


# --- programs


@escape("fork", "clone", "vfork")
def fork(world: World) -> object:
    import os

    if os.fork() == 0:
        os._exit(0)
    return "forked"


@escape("fork", "clone", "vfork", "execve")
def shell_command(world: World) -> object:
    import os

    if os.system(f"touch {world['folder']}/escaped"):
        raise PermissionError("the shell did not run")
    return "ran"


@escape("fork", "clone", "vfork", "execve")
def subprocess(world: World) -> object:
    import subprocess

    return subprocess.run(["/bin/true"], check=True)


@escape("execve")
def execute(world: World) -> object:
    import os

    return os.execv("/bin/true", ["true"])


@escape("memfd_create", "execveat", "execve")
def execute_from_memory(world: World) -> object:
    """A program that is in no file."""
    import os

    fd = os.memfd_create("program")
    os.write(fd, b"#!/bin/true\n")
    return os.execve(fd, ["program"], {})


@escape("clone")
def clone_into_a_namespace(world: World) -> object:
    return call("clone", 0x10000000 | 17, 0, 0, 0, 0)


# --- sockets of every family


def _family(family: str, number: int, kind: int = 1) -> None:
    def run(world: World) -> object:
        import socket

        return socket.socket(number, kind)

    run.__name__ = f"socket_{family}"
    escape("socket")(run)


for _name, _number, _kind in (
    ("internet", 2, 1),
    ("internet_datagrams", 2, 2),
    ("internet_6", 10, 1),
    ("raw", 2, 3),
    ("netlink", 16, 3),
    ("packet", 17, 3),
    ("kernel_crypto", 38, 5),
    ("vsock", 40, 1),
    ("xdp", 44, 3),
    ("bluetooth", 31, 3),
):
    _family(_name, _number, _kind)


@escape("socket")
def connect_to_a_port(world: World) -> object:
    import socket

    return socket.create_connection(("127.0.0.1", world["port"]), timeout=1)


@escape("socket")
def fetch_a_page(world: World) -> object:
    from urllib.request import urlopen

    return urlopen(f"http://127.0.0.1:{world['port']}/", timeout=1)


@escape("socket")
def connect_to_a_socket_file(world: World) -> object:
    import socket

    return socket.socket(socket.AF_UNIX).connect(world["socket"])


@escape("socket")
def connect_to_an_abstract_socket(world: World) -> object:
    """They are in no file system; Landlock judges them from ABI 6 on."""
    import socket

    return socket.socket(socket.AF_UNIX).connect("\0" + world["abstract"])


def _sockets() -> list[Any]:
    """What may be the socket to the parent, which is there already: every one."""
    import os
    import socket

    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    # By its family, which would otherwise be asked for and refused.
    return [
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, os.dup(int(link.split("/")[-1])))
        for link in links
        if os.path.islink(link) and os.readlink(link).startswith("socket:")
    ]


@escape("connect")
def connect_the_channel_elsewhere(world: World) -> object:
    done = 0
    for one in _sockets():
        try:
            one.connect("\0" + world["abstract"])
            done += 1
        except OSError:
            continue
    if not done:
        raise PermissionError("connect")
    return done


@escape("sendto")
def send_to_another_address(world: World) -> object:
    done = 0
    for one in _sockets():
        try:
            done += one.sendto(b"escaped", "\0" + world["abstract"])
        except OSError:
            continue
    if not done:
        raise PermissionError("sendto")
    return done


# --- memory that others share (System V, POSIX)


@escape("shmget", "shmat")
def shared_memory_of_the_parent(world: World) -> object:
    return call("shmat", call("shmget", world["shared"], 0, 0), 0, 0)


@escape("mq_open")
def message_queue(world: World) -> object:
    import ctypes

    return call("mq_open", ctypes.c_char_p(b"escaped"), 0o102, 0o600, 0)


# --- what only the kernel does

for _name, _arguments in (
    ("acct", (0,)),
    ("add_key", (0, 0, 0, 0, -4)),
    ("adjtimex", (0,)),
    ("bpf", (0, 0, 0)),
    ("fanotify_init", (0, 0)),
    ("finit_module", (-1, 0, 0)),
    ("fsopen", (0, 0)),
    ("init_module", (0, 0, 0)),
    ("inotify_init1", (0,)),
    ("io_setup", (1, 0)),
    ("io_uring_setup", (1, 0)),
    ("ioperm", (0, 1, 1)),
    ("iopl", (3,)),
    ("kcmp", (1, 1, 0, 0, 0)),
    ("kexec_load", (0, 0, 0, 0)),
    ("keyctl", (0, -4, 0)),
    ("memfd_secret", (0,)),
    ("modify_ldt", (0, 0, 0)),
    ("mount", (0, 0, 0, 0, 0)),
    ("mount_setattr", (-1, 0, 0, 0, 0)),
    ("move_mount", (-1, 0, -1, 0, 0)),
    ("msgget", (0, 0o1600)),
    ("open_tree", (-100, 0, 1)),
    ("perf_event_open", (0, 0, -1, -1, 0)),
    ("personality", (0,)),
    ("pivot_root", (0, 0)),
    ("process_madvise", (-1, 0, 0, 0, 0)),
    ("quotactl", (0, 0, 0, 0)),
    ("request_key", (0, 0, 0, 0)),
    ("semget", (0, 1, 0o1600)),
    ("sethostname", (0, 0)),
    ("setns", (-1, 0)),
    ("settimeofday", (0, 0)),
    ("swapon", (0, 0)),
    ("syslog", (3, 0, 0)),
    ("umount2", (0, 0)),
    ("unshare", (0x10000000,)),
    ("userfaultfd", (0,)),
    ("vmsplice", (-1, 0, 0, 0)),
):
    _simple(_name, *_arguments)


@escape("ioctl")
def type_into_the_terminal(world: World) -> object:
    """TIOCSTI: what somebody else then types."""
    import fcntl
    import termios

    return fcntl.ioctl(0, termios.TIOCSTI, b"x")


@escape("prctl")
def be_looked_into_again(world: World) -> object:
    """PR_SET_DUMPABLE."""
    import ctypes

    if ctypes.CDLL(None).prctl(4, 1, 0, 0, 0):
        raise PermissionError("prctl")
    return "dumpable"


@escape("setuid", "setresuid", "setreuid")
def become_root(world: World) -> object:
    import os

    return os.setuid(0)


@escape("chroot", where="folder")
def another_root(world: World) -> object:
    import os

    return os.chroot(world["folder"])


@escape("seccomp")
def filter_of_its_own(world: World) -> object:
    """One that answers for the calls of libraries: SECCOMP_RET_USER_NOTIF by the model."""
    return call("seccomp", 1, 8, 0)


def run_all(world: World, skipped: tuple[str, ...] = ()) -> dict[str, str]:
    """What became of each: how it was refused, or ``"ESCAPED"`` and what came of it.

    Outside of a sandbox nothing is run: some of it kills whoever started this process.
    """
    import os

    if "keras-integrity-sandbox-" not in os.environ.get("TMPDIR", ""):
        raise SystemExit("not in a sandbox")
    outcomes = {}
    for name, one in ESCAPES.items():
        if name in skipped:
            continue
        try:
            outcomes[name] = f"ESCAPED {one.run(world)!r}"[:100]
        except BaseException as error:
            outcomes[name] = f"{type(error).__name__} {getattr(error, 'errno', '')}".strip()
    return outcomes
