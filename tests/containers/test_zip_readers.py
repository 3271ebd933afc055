# SPDX-License-Identifier: Apache-2.0
"""An archive that two ZIP readers could read differently is refused, sealed or not.

Each case changes one thing about an archive that is in order. Where another reader is at hand
(zipfile, unzip, 7z) the test shows that it is misled, or that two of them disagree.
"""

from __future__ import annotations

import io
import shutil
import stat
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from tests.support.models import archive_bytes

CONFIG, OTHER = b'{"class_name": "Model"}', b'{"class_name": "Evil!"}'
LOCAL, CENTRAL = struct.Struct("<4sHHHHHIIIHH"), struct.Struct("<4sHHHHHHIIIHHHHHII")
UNIX = 3


class Member:
    """One member, field by field, twice: as its local header and as the directory has it.

    Attributes:
        local: what the local header says otherwise than the directory.
    """

    def __init__(self, name: bytes, data: bytes = b"", **changes: Any) -> None:
        self.name = name
        self.data = data
        self.local: dict[str, Any] = changes.pop("local", {})
        self.central: dict[str, Any] = {
            "flags": 0,
            "method": 0,
            "crc": zlib.crc32(data),
            "packed": len(data),
            "size": len(data),
            "name": name,
            "extra": b"",
            "comment": b"",
            "attributes": (stat.S_IFREG | 0o600) << 16,
            "descriptor": b"",
        } | changes

    def local_bytes(self) -> bytes:
        """The local header, the data, and the descriptor if there is one."""
        said = self.central | self.local
        header = LOCAL.pack(
            b"PK\x03\x04",
            20,
            said["flags"],
            said["method"],
            0,
            33,
            said["crc"],
            said["packed"],
            said["size"],
            len(said["name"]),
            len(said["extra"]),
        )
        return bytes(header + said["name"] + said["extra"] + self.data + said["descriptor"])

    def central_bytes(self, offset: int) -> bytes:
        """The entry in the directory."""
        said = self.central
        header = CENTRAL.pack(
            b"PK\x01\x02",
            UNIX << 8 | 20,
            20,
            said["flags"],
            said["method"],
            0,
            33,
            said["crc"],
            said["packed"],
            said["size"],
            len(said["name"]),
            len(said["extra"]),
            len(said["comment"]),
            0,
            0,
            said["attributes"],
            said.get("offset", offset),
        )
        return bytes(header + said["name"] + said["extra"] + said["comment"])


def archive(*members: Member) -> bytes:
    """The members of every Keras archive, and others after them."""
    model = (
        Member(b"metadata.json", b'{"keras_version": "3.15.1"}'),
        Member(b"config.json", CONFIG),
        Member(b"model.weights.h5", b"weights"),
        *members,
    )
    body, directory = b"", b""
    for member in model:
        directory += member.central_bytes(len(body))
        body += member.local_bytes()
    count = len(model)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + end


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def extra(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


def unicode_path(name: bytes, other: bytes) -> bytes:
    """Info-ZIP's field: another name, valid while the CRC is that of the first (APPNOTE 4.6.9)."""
    return extra(0x7075, b"\x01" + struct.pack("<I", zlib.crc32(name)) + other)


def descriptor(data: bytes, *, crc: int | None = None, size: int | None = None) -> bytes:
    size = len(data) if size is None else size
    return struct.pack(
        "<4sIII", b"PK\x07\x08", zlib.crc32(data) if crc is None else crc, size, size
    )


EMPTY_LOCAL = {"crc": 0, "packed": 0, "size": 0}
X, LONG = b"assets/x", OTHER * 9
ONE_READING = {
    "as zipfile writes it": archive(),
    "deflated": archive(
        Member(X, deflated(OTHER * 9), method=8, size=len(OTHER * 9), crc=zlib.crc32(OTHER * 9))
    ),
    "a directory": archive(Member(b"assets/", attributes=(stat.S_IFDIR | 0o755) << 16 | 0x10)),
    "times in an extra field": archive(Member(X, b"1", extra=extra(0x5455, b"\x01abcd"))),
    "a name in UTF-8": archive(Member("assets/é".encode(), b"1", flags=0x800)),
    "streamed": archive(Member(X, OTHER, flags=8, local=EMPTY_LOCAL, descriptor=descriptor(OTHER))),
    "no attributes": archive(Member(X, b"1", attributes=0)),
}
TWO_READINGS = {
    "NUL in a name": archive(Member(b"config.json\0.txt", OTHER)),
    "control character in a name": archive(Member(b"a\nb", b"")),
    "absolute name": archive(Member(b"/tmp/x", b"")),
    "name with ..": archive(Member(b"assets/../../x", b"")),
    "name with an empty step": archive(Member(b"assets//x", b"")),
    "name with .": archive(Member(b"./config.json", OTHER)),
    "drive": archive(Member(b"C:x", b"")),
    "backslash": archive(Member(b"assets\\..\\x", b"")),
    "empty name": archive(Member(b"", b"")),
    "name in no known code page": archive(Member("é".encode(), b"")),
    "name not UTF-8 as it claims": archive(Member(b"\xe9", b"", flags=0x800)),
    "unicode path": archive(
        Member(b"x.json", OTHER, extra=unicode_path(b"x.json", b"config.json"))
    ),
    "unicode path before the data": archive(
        Member(b"x.json", OTHER, local={"extra": unicode_path(b"x.json", b"config.json")})
    ),
    "another name before the data": archive(Member(X, b"1", local={"name": b"assets/y"})),
    "another size before the data": archive(Member(X, OTHER, local={"size": 3, "packed": 3})),
    "another CRC before the data": archive(Member(X, OTHER, local={"crc": 1})),
    "no CRC before the data": archive(Member(X, OTHER, local=EMPTY_LOCAL)),
    "other flags before the data": archive(Member(X, OTHER, local={"flags": 2})),
    "another method before the data": archive(Member(X, OTHER, local={"method": 8})),
    "stored with two sizes": archive(Member(X, OTHER, size=3)),
    "unknown method": archive(Member(X, OTHER, method=93)),
    "encrypted": archive(Member(X, OTHER, flags=1)),
    "strongly encrypted": archive(Member(X, OTHER, flags=0x41)),
    "masked": archive(Member(X, OTHER, flags=0x2000)),
    "patch data": archive(Member(X, OTHER, flags=0x20)),
    "symbolic link": archive(Member(X, b"/etc/passwd", attributes=(stat.S_IFLNK | 0o777) << 16)),
    "device": archive(Member(X, b"", attributes=(stat.S_IFBLK | 0o666) << 16)),
    "file called a directory": archive(Member(X, b"1", attributes=0x10)),
    "directory with content": archive(Member(b"assets/", OTHER)),
    "same name": archive(Member(b"config.json", OTHER)),
    "same name but for case": archive(Member(b"CONFIG.json", OTHER)),
    "same name as a directory": archive(Member(b"config.json/", b"")),
    "same name in another normal form": archive(
        Member("assets/\u00e9".encode(), b"1", flags=0x800),
        Member("assets/e\u0301".encode(), b"2", flags=0x800),
    ),
    "two members on the same bytes": archive(Member(X, OTHER, offset=0)),
    "descriptor with another CRC": archive(
        Member(X, OTHER, flags=8, local=EMPTY_LOCAL, descriptor=descriptor(OTHER, crc=1))
    ),
    "descriptor with another size": archive(
        Member(X, OTHER, flags=8, local=EMPTY_LOCAL, descriptor=descriptor(OTHER, size=3))
    ),
    "descriptor that is none": archive(
        Member(X, OTHER, flags=8, local=EMPTY_LOCAL, descriptor=b"PK\x03\x04 and more")
    ),
    "no descriptor": archive(Member(X, OTHER, flags=8, local=EMPTY_LOCAL)),
    "bytes behind a member": archive(Member(X, OTHER, descriptor=b"slack")),
    "ZIP64 sizes where none are needed": archive(
        Member(X, OTHER, extra=extra(1, struct.pack("<QQ", 3, 3)))
    ),
    "ZIP64 sizes that are others before the data": archive(
        Member(
            X,
            OTHER,
            local={
                "size": 0xFFFFFFFF,
                "packed": 0xFFFFFFFF,
                "extra": extra(1, struct.pack("<QQ", 3, 3)),
            },
        )
    ),
    "two ZIP64 fields": archive(
        Member(
            X,
            OTHER,
            size=0xFFFFFFFF,
            packed=0xFFFFFFFF,
            extra=extra(1, struct.pack("<QQ", len(OTHER), len(OTHER))) * 2,
        )
    ),
    "no ZIP64 field where one is needed": archive(Member(X, OTHER, size=0xFFFFFFFF, method=8)),
    "extra field cut short": archive(Member(X, OTHER, extra=b"\x55\x54\x09\x00ab")),
    "comment of a member": archive(Member(X, OTHER, comment=b"PK\x05\x06" + bytes(18))),
}


@pytest.mark.parametrize("case", ONE_READING)
def test_archive_with_one_reading_is_sealed_and_verified(tmp_path: Path, case: str) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(ONE_READING[case])
    kih.seal(path)
    kih.verify(path)
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
    kih.unseal(path)
    assert path.read_bytes() == ONE_READING[case]


@pytest.mark.parametrize("case", TWO_READINGS)
def test_archive_with_two_readings_is_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(TWO_READINGS[case])
    for look in (kih.verify, kih.inspect, kih.seal):
        with pytest.raises(kih.DamagedFileError):
            look(path)
    assert path.read_bytes() == TWO_READINGS[case]


def test_seal_does_not_make_two_readings_good(tmp_path: Path) -> None:
    """A signer's own tool, or an older build, may have sealed what this one would not."""
    path = tmp_path / "m.keras"
    path.write_bytes(archive_bytes())
    kih.seal(path)
    sealed = path.read_bytes()
    (directory,) = struct.unpack_from("<I", sealed, len(sealed) - 6)
    entry = sealed.index(b"PK\x01\x02", directory)
    # The first entry says symbolic link now, which the digests would cover like anything else.
    changed = bytearray(sealed)
    struct.pack_into("<I", changed, entry + 38, (stat.S_IFLNK | 0o777) << 16)
    path.write_bytes(changed)
    with pytest.raises(kih.DamagedFileError, match="link"):
        kih.verify(path)


# What other readers make of them


def read_by_zipfile(path: Path, directory: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def _unpacked(command: list[str], directory: Path) -> dict[str, bytes]:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    directory.mkdir()
    subprocess.run(command, cwd=directory, capture_output=True, check=False)
    return {
        str(found.relative_to(directory)): found.read_bytes()
        for found in directory.rglob("*")
        if found.is_file()
    }


def read_by_unzip(path: Path, directory: Path) -> dict[str, bytes]:
    return _unpacked(["unzip", "-o", "-q", str(path)], directory)


def read_by_7z(path: Path, directory: Path) -> dict[str, bytes]:
    return _unpacked(["7z", "x", "-y", "-aos", str(path)], directory)


Reader = Callable[[Path, Path], dict[str, bytes]]
DISAGREE: dict[str, tuple[Reader, Reader]] = {
    "NUL in a name": (read_by_zipfile, read_by_7z),
    "control character in a name": (read_by_zipfile, read_by_unzip),
    "absolute name": (read_by_zipfile, read_by_unzip),
    "unicode path": (read_by_zipfile, read_by_unzip),
    "name in no known code page": (read_by_zipfile, read_by_unzip),
    "same name": (read_by_zipfile, read_by_7z),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", DISAGREE)
def test_readers_disagree_about_it(tmp_path: Path, case: str) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(TWO_READINGS[case])
    seen = [read(path, tmp_path / str(n)) for n, read in enumerate(DISAGREE[case])]
    assert seen[0] != seen[1]


def test_zipfile_is_misled_by_a_link(tmp_path: Path) -> None:
    """It reads the target as content; unzip makes the link."""
    path = tmp_path / "m.keras"
    path.write_bytes(TWO_READINGS["symbolic link"])
    assert read_by_zipfile(path, tmp_path)["assets/x"] == b"/etc/passwd"
    read_by_unzip(path, tmp_path / "unzip")
    assert (tmp_path / "unzip/assets/x").is_symlink()


def test_end_records_in_a_comment_are_refused(tmp_path: Path) -> None:
    """Readers that search for the end record from behind find the last, others the first."""
    path = tmp_path / "m.keras"
    first, second = archive_bytes(), archive_bytes(config=OTHER)
    buffer = io.BytesIO(first)
    with zipfile.ZipFile(buffer, "a") as opened:
        opened.comment = second
    for data in (buffer.getvalue(), first + second):
        path.write_bytes(data)
        with pytest.raises(kih.DamagedFileError):
            kih.verify(path)
