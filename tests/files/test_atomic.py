# SPDX-License-Identifier: Apache-2.0
"""A file is put in its place whole, with all that a plain overwrite would leave, and only there."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_integrity_hook.files import atomic, portable, private_directory
from keras_integrity_hook.files.target import real_path, refuse_links_of_others
from tests.support.children import as_user, in_mount_namespace

ALICE, BOB, TEAM = 4001, 4002, 4100
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def put(path: Path, data: bytes) -> None:
    """Write ``data`` as a save does."""
    with atomic.open_target(path) as target:
        target.refuse_unwritable()
        with atomic.private_file(target) as private:
            fd = private.create(0o666)
            os.write(fd, data)
            os.close(fd)
            private.take_final_name()
            private.put_in_place(in_place=atomic.why_in_place(target))


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that other users may enter; pytest's own are private to one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_file_takes_the_place_of_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "m"
    put(target, b"one")
    inode = target.stat().st_ino
    put(target, b"two")
    assert target.read_bytes() == b"two"
    assert target.stat().st_ino != inode
    assert os.listdir(tmp_path) == ["m"]


@pytest.mark.parametrize("there", [True, False], ids=["leads to a file", "leads to nothing yet"])
def test_link_is_followed_and_kept(there: bool, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    blob = tmp_path / "store" / "blob"
    if there:
        blob.write_bytes(b"old")
    (tmp_path / "hop").symlink_to("store/blob")
    (tmp_path / "latest").symlink_to(tmp_path / "hop")
    put(tmp_path / "latest", b"new")
    assert blob.read_bytes() == b"new"
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "hop").is_symlink()


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links") as caught:
        put(tmp_path / "a", b"x")
    assert caught.value.errno == errno.ELOOP


def test_reader_of_an_open_temporary_file_finds_what_was_saved_to_its_name() -> None:
    with tempfile.NamedTemporaryFile() as file:
        put(Path(file.name), b"model")
        assert file.read() == b"model"
        put(Path(file.name), b"next")
        file.seek(0)
        assert file.read() == b"next"


def test_file_that_another_part_of_this_process_has_locked_is_replaced(tmp_path: Path) -> None:
    """As HDF5 does with what it reads: its bytes must not change under it."""
    import fcntl

    target = tmp_path / "m"
    target.write_bytes(b"being read")
    with target.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        put(target, b"new")
        assert reader.read() == b"being read"
    assert target.read_bytes() == b"new"


def test_other_names_and_attributes_of_a_file_are_kept(tmp_path: Path) -> None:
    target, other = tmp_path / "m", tmp_path / "other"
    target.write_bytes(b"old")
    target.chmod(0o640)
    os.setxattr(target, "user.dataset", b"v7")
    put(target, b"new")
    assert os.getxattr(target, "user.dataset") == b"v7"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    os.link(target, other)
    put(target, b"newer")
    assert other.read_bytes() == b"newer"


@needs_root
def test_owner_and_group_are_kept(shared: Path) -> None:
    target = shared / "m"
    target.write_bytes(b"old")
    os.chown(target, ALICE, TEAM)
    put(target, b"new")
    assert (target.stat().st_uid, target.stat().st_gid) == (ALICE, TEAM)


@needs_root
def test_teammate_leaves_the_owner_of_a_shared_model(shared: Path) -> None:
    os.chown(shared, ALICE, TEAM)
    shared.chmod(0o770)
    target = shared / "m"
    target.write_bytes(b"old")
    os.chown(target, ALICE, TEAM)
    target.chmod(0o660)
    as_user(BOB, lambda: put(target, b"new"), groups=[TEAM])
    assert target.read_bytes() == b"new"
    assert (target.stat().st_uid, target.stat().st_gid) == (ALICE, TEAM)
    assert stat.S_IMODE(target.stat().st_mode) == 0o660


@needs_root
@pytest.mark.parametrize("uid", [ALICE, BOB], ids=["its owner", "a stranger"])
def test_read_only_file_is_not_replaced(uid: int, shared: Path) -> None:
    shared.chmod(0o777)
    target = shared / "golden"
    target.write_bytes(b"golden")
    os.chown(target, ALICE, ALICE)
    target.chmod(0o444)
    with pytest.raises(PermissionError):
        as_user(uid, lambda: put(target, b"new"))
    assert target.read_bytes() == b"golden"
    assert os.listdir(shared) == ["golden"]


@needs_root
def test_file_in_a_sticky_directory_is_overwritten_by_who_may_write_it(shared: Path) -> None:
    if int(Path("/proc/sys/fs/protected_regular").read_text()):
        pytest.skip("the kernel refuses the plain save as well")
    os.chown(shared, 0, TEAM)
    shared.chmod(0o1770)
    target = shared / "m"
    target.write_bytes(b"old, and longer")
    os.chown(target, ALICE, TEAM)
    target.chmod(0o660)
    as_user(BOB, lambda: put(target, b"new"), groups=[TEAM])
    assert target.read_bytes() == b"new"
    assert target.stat().st_uid == ALICE


@needs_root
def test_link_that_somebody_planted_in_a_sticky_directory_is_not_followed(shared: Path) -> None:
    """As the kernel has it (``fs.protected_symlinks``), for a dangling one too."""
    shared.chmod(0o1777)
    (shared / "m").symlink_to("/etc/keras-integrity-test-of-a-planted-link")
    os.lchown(shared / "m", BOB, BOB)
    with pytest.raises(PermissionError):
        put(shared / "m", b"x")
    assert not os.path.lexists("/etc/keras-integrity-test-of-a-planted-link")


def test_link_put_in_the_place_of_the_file_meanwhile_is_not_written_through(
    tmp_path: Path,
) -> None:
    precious, target = tmp_path / "precious", tmp_path / "m"
    precious.write_bytes(b"precious")
    target.write_bytes(b"old")
    with atomic.open_target(target) as opened, atomic.private_file(opened) as private:
        os.close(private.create())
        target.unlink()
        target.symlink_to(precious)
        with pytest.raises(OSError, match="meanwhile"):
            private.put_in_place()
    assert precious.read_bytes() == b"precious"
    assert target.is_symlink()


def test_directory_that_was_renamed_away_keeps_the_save(tmp_path: Path) -> None:
    """What was resolved once stays resolved: nothing goes to who takes the name."""
    folder, trap = tmp_path / "folder", tmp_path / "trap"
    folder.mkdir()
    trap.mkdir()
    with atomic.open_target(folder / "m") as target, atomic.private_file(target) as private:
        folder.rename(tmp_path / "moved")
        folder.symlink_to(trap)
        os.close(private.create())
        private.put_in_place()
    assert (tmp_path / "moved" / "m").exists()
    assert os.listdir(trap) == []


@pytest.mark.parametrize("what", ["a link", "a second name", "nothing"])
def test_what_is_not_the_file_that_was_to_be_written_is_never_put_in_place(
    what: str, tmp_path: Path
) -> None:
    secret, target = tmp_path / "secret", tmp_path / "m"
    secret.write_bytes(b"secret")
    with atomic.open_target(target) as opened, atomic.private_file(opened) as private:
        if what == "a link":
            private.path.symlink_to(secret)
        elif what == "a second name":
            os.link(secret, private.path)
        with pytest.raises(OSError, match=r"symbolic|not the file|No such file"):
            private.put_in_place()
    assert not target.exists()
    assert secret.read_bytes() == b"secret"
    assert os.listdir(tmp_path) == ["secret"]


@needs_root
def test_writer_is_not_led_elsewhere_where_others_may_rename(shared: Path) -> None:
    """Another user puts a directory of his in the place of the private one."""
    os.chown(shared, BOB, BOB)
    precious = shared / "precious"
    precious.write_bytes(b"precious")
    with atomic.open_target(shared / "m") as target, atomic.private_file(target) as private:
        mine = next(path for path in shared.iterdir() if path.is_dir())
        mine.rename(shared / "aside")
        mine.mkdir()
        (mine / "m").symlink_to(precious)
        private.path.write_bytes(b"model")  # as a program does that is given a path
        private.put_in_place()
    assert precious.read_bytes() == b"precious"
    assert (shared / "m").read_bytes() == b"model"


@needs_root
def test_writer_is_not_led_elsewhere_where_others_may_rename_a_directory_above(
    shared: Path,
) -> None:
    os.chown(shared, BOB, BOB)
    folder, precious = shared / "folder", shared / "precious"
    folder.mkdir()
    precious.write_bytes(b"precious")
    with atomic.open_target(folder / "m") as target, atomic.private_file(target) as private:
        name = next(folder.iterdir()).name
        folder.rename(shared / "aside")
        (folder / name).mkdir(parents=True)
        (folder / name / "m").symlink_to(precious)
        private.path.write_bytes(b"model")
        private.put_in_place()
    assert precious.read_bytes() == b"precious"
    assert (shared / "aside" / "m").read_bytes() == b"model"


def test_directory_that_was_given_a_name_of_ours_is_left_alone(tmp_path: Path) -> None:
    thesis = tmp_path / ".keras-integrity-0123456789abcdef"
    (thesis / "years" / "of").mkdir(parents=True)
    (thesis / "years" / "of" / "work").write_text("...")
    thesis.chmod(0o700)
    put(tmp_path / "m", b"x")
    assert (thesis / "years" / "of" / "work").exists()
    assert not atomic.is_ours(thesis)


def test_directory_that_a_process_was_killed_before_it_marked_goes_with_the_next_save(
    tmp_path: Path,
) -> None:
    unused = tmp_path / ".keras-integrity-0123456789abcdef"
    unused.mkdir(mode=0o700)
    put(tmp_path / "m", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_directory_that_a_sweep_takes_for_an_unused_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its making and its first lock no sweep can tell whether its maker lives."""
    swept: list[Path] = []
    lock = portable.lock

    def swept_before(fd: int, *, shared: bool = False) -> None:
        if not swept:
            swept.extend(tmp_path.glob(".keras-integrity-*"))
            swept[0].rmdir()
        lock(fd, shared=shared)

    with atomic.open_target(tmp_path / "m") as target:
        monkeypatch.setattr(portable, "lock", swept_before)
        with atomic.private_file(target) as private:
            private.path.write_bytes(b"x")
            private.put_in_place()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert len(swept) == 1


def test_marker_of_another_directory_does_not_count(tmp_path: Path) -> None:
    with atomic.open_target(tmp_path / "m") as target, atomic.private_file(target) as private:
        ours = private.path.parent
        marker = next(name for name in os.listdir(ours) if private_directory.is_marker(name))
        copy = tmp_path / ".keras-integrity-copy"
        copy.mkdir(mode=0o700)
        (copy / marker).touch()
        (copy / "work").touch()
        assert atomic.is_ours(ours)
        assert not atomic.is_ours(copy)
    put(tmp_path / "m", b"x")
    assert (copy / "work").exists()


def killed_while_saving(target: Path) -> None:
    """A process that is killed after it has written its private file."""
    script = (
        "import os, signal, sys\n"
        "from keras_integrity_hook.files import atomic\n"
        "with atomic.open_target(sys.argv[1]) as t, atomic.private_file(t) as p:\n"
        "    (p.path.parent / 'tree' / 'below').mkdir(parents=True)\n"
        "    os.close(p.create())\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(target)], check=False, timeout=60)


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    killed_while_saving(tmp_path / "m")
    assert len(os.listdir(tmp_path)) == 1
    put(tmp_path / "m", b"x")
    assert os.listdir(tmp_path) == ["m"]


def test_private_directory_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    with atomic.open_target(tmp_path / "a") as target, atomic.private_file(target) as private:
        os.close(private.create())
        put(tmp_path / "b", b"x")
        private.put_in_place()
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_end_of_a_forked_child_takes_no_save_away(tmp_path: Path) -> None:
    target = tmp_path / "m"
    child = 0
    try:
        with atomic.open_target(target) as opened, atomic.private_file(opened) as private:
            os.close(private.create())
            child = os.fork()
            if not child:
                raise SystemExit  # through the same block that the parent is in
            os.waitpid(child, 0)
            private.put_in_place()
    finally:
        if not child:
            os._exit(0)
    assert target.exists()


def test_forked_child_cannot_put_the_parents_save_in_place(tmp_path: Path) -> None:
    with atomic.open_target(tmp_path / "m") as target, atomic.private_file(target) as private:
        os.close(private.create())
        child = os.fork()
        if not child:
            try:
                private.put_in_place()
            except OSError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_exhausted_descriptors_are_reported_as_that(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd"))) + 1
    opened = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(OSError, match="Too many open files") as caught:
            put(tmp_path / "m", b"x")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in opened:
            os.close(fd)
    assert caught.value.errno == errno.EMFILE


@needs_root
def test_file_that_is_a_mount_of_its_own_is_overwritten(tmp_path: Path) -> None:
    inside, host = tmp_path / "m", tmp_path / "host"
    inside.touch()
    host.write_bytes(b"the host's, and longer")

    def save() -> None:
        put(inside, b"model")

    in_mount_namespace([["mount", "--bind", str(host), str(inside)]], save)
    assert host.read_bytes() == b"model"
    assert sorted(os.listdir(tmp_path)) == ["host", "m"]


@needs_root
def test_overwriting_in_place_finds_out_first_whether_there_is_room(tmp_path: Path) -> None:
    def save() -> None:
        target = tmp_path / "m"
        target.write_bytes(b"o" * 3_000_000)
        os.link(target, tmp_path / "other")  # not to be replaced
        with (
            tempfile.TemporaryDirectory() as roomy,
            atomic.open_target(target) as opened,
            atomic.open_target(Path(roomy, "m")) as near,
            atomic.private_file(opened, near=near) as private,
        ):
            fd = private.create()
            os.write(fd, b"n" * 7_000_000)
            os.close(fd)
            with pytest.raises(OSError, match="bytes more are needed") as caught:
                private.put_in_place(in_place="it has other names")
        assert caught.value.errno == errno.ENOSPC
        assert target.read_bytes() == b"o" * 3_000_000

    in_mount_namespace([["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(tmp_path)]], save)


def test_finished_file_is_kept_where_it_could_be_written_in_part_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m"
    target.write_bytes(b"old")
    os.link(target, tmp_path / "other")

    def broken(fd: int, data: bytes, at: int) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pwrite", broken)
    with pytest.raises(OSError, match="the whole of it lies at") as caught:
        put(target, b"new")
    monkeypatch.undo()
    kept = Path(str(caught.value.strerror).rpartition(" lies at ")[2])
    assert kept.read_bytes() == b"new"
    put(tmp_path / "another", b"x")
    assert kept.read_bytes() == b"new", "a later save swept it away"


def test_identity_of_the_file_that_is_replaced_is_compared(tmp_path: Path) -> None:
    target = tmp_path / "m"
    target.write_bytes(b"opened")
    opened = target.stat()
    target.rename(tmp_path / "aside")
    target.write_bytes(b"another")
    with atomic.open_target(target) as found, pytest.raises(OSError, match="Stale"):
        found.refuse_other_than(opened)


@needs_root
class TestLinksOfOthers:
    """A link that another user put there leads root, or a teammate, to no file but the user's."""

    @pytest.mark.parametrize("is_there", [True, False])
    def test_link_to_somebody_elses_file_is_not_followed(
        self, shared: Path, is_there: bool
    ) -> None:
        victim = shared / "victim"
        victim.mkdir(mode=0o755)
        if is_there:
            (victim / "file").write_text("precious")
        link = shared / "link"
        link.symlink_to(victim / "file")
        os.lchown(link, ALICE, ALICE)
        with pytest.raises(PermissionError), atomic.open_target(link):
            pass

    def test_links_to_what_their_owner_has_are_followed(self, shared: Path) -> None:
        (shared / "of alice").mkdir()
        real = shared / "of alice" / "real"
        real.write_text("old")
        link = shared / "link"
        link.symlink_to(real)
        for path in (link, real, real.parent):
            os.lchown(path, ALICE, ALICE)
        with atomic.open_target(link) as target:
            assert target.path == str(real)
        real.unlink()
        with atomic.open_target(link) as target:
            assert target.path == str(real)

    def test_directory_with_such_a_link_is_not_written_in(self, shared: Path) -> None:
        model, victim = shared / "model", shared / "victim"
        (model / "assets").mkdir(parents=True)
        victim.write_text("precious")
        link = model / "assets" / "words"
        for destination in ("nowhere/at all", "words"):  # through which nobody writes anything
            link.symlink_to(destination)
            os.lchown(link, ALICE, ALICE)
            refuse_links_of_others(str(model))
            link.unlink()
        link.symlink_to(victim)
        refuse_links_of_others(str(model))  # one of root's own
        os.lchown(link, ALICE, ALICE)
        with pytest.raises(PermissionError):
            refuse_links_of_others(str(model))

    def test_links_of_root_are_followed_by_everybody(self, shared: Path) -> None:
        real = shared / "real"
        real.write_text("old")
        os.chown(real, BOB, BOB)
        (shared / "link").symlink_to("real")

        def look() -> None:
            with atomic.open_target(shared / "link") as target:
                assert target.name == "real"

        as_user(ALICE, look)


def test_path_is_resolved_while_a_link_on_it_comes_and_goes(tmp_path: Path) -> None:
    """CPython's ``realpath`` raises where what was a link is none when it is read."""
    (tmp_path / "model").write_text("")
    (tmp_path / "link").symlink_to("model")
    (tmp_path / "copy").write_text("")
    over = threading.Event()

    def exchange() -> None:
        while not over.is_set():
            os.rename(tmp_path / "link", tmp_path / "kept")
            os.rename(tmp_path / "copy", tmp_path / "link")
            os.rename(tmp_path / "link", tmp_path / "copy")
            os.rename(tmp_path / "kept", tmp_path / "link")

    attacker = threading.Thread(target=exchange)
    attacker.start()
    try:
        seen = {real_path(str(tmp_path / "link")) for _ in range(5000)}
    finally:
        over.set()
        attacker.join()
    assert seen <= {str(tmp_path / name) for name in ("model", "link")}
