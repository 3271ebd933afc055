# SPDX-License-Identifier: Apache-2.0
"""What lists of rights say on Windows, in the terms of the rules about owners and modes."""

from __future__ import annotations

import pytest

from keras_integrity_hook.files import windows_rights

ME = "S-1-5-21-1004336348-1177238915-682003330-1001"
OTHER = "S-1-5-21-1004336348-1177238915-682003330-1002"
INSTALLER = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
PROGRAM_DATA = (
    "O:SYG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;0x1200a9;;;BU)"
    "(A;CI;DCLCRPCR;;;BU)"
)
DRIVE = (
    f"O:{INSTALLER}G:{INSTALLER}D:PAI(A;;LC;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;OICI;FA;;;SY)"
    "(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)"
)


@pytest.mark.parametrize(
    ("descriptor", "owner", "mode"),
    [
        (PROGRAM_DATA, "root", 0o1746),  # as root's /tmp: others add, and take nothing away
        (DRIVE, "root", 0o1746),
        ("O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)", "root", 0o744),
        (f"O:SYG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{ME})", "me", 0o700),
        (f"O:{ME}G:{ME}D:P(A;OICI;FA;;;{ME})", "me", 0o700),
        ("O:BAG:BAD:P", "root", 0o700),
    ],
)
def test_directory_is_whose_it_is_to_change(descriptor: str, owner: str, mode: int) -> None:
    rights = windows_rights.of(descriptor, is_directory=True)
    assert rights.uid == {"root": 0, "me": windows_rights.number_of(ME)}[owner]
    assert oct(rights.mode) == oct(mode)


@pytest.mark.parametrize(
    "entry",
    [
        "A;;FA;;;BU",
        "A;;0x1301bf;;;AU",
        "A;;GW;;;WD",
        "A;;SD;;;BU",
        "A;;WD;;;S-1-1-0",  # the right to change the list itself
        "A;;WO;;;S-1-5-32-545",
        f"A;;FA;;;{OTHER}",
        "A;;XX;;;BU",  # a right that is not known
        "A;;999999999999999999999;;;BU",
        'XA;;FA;;;BU;(@User.Title=="VP")',  # on a condition, which is taken as met
    ],
)
@pytest.mark.parametrize("is_directory", [True, False])
def test_what_others_can_change_is_open_to_everybody(entry: str, is_directory: bool) -> None:
    text = f"O:{ME}G:{ME}D:AI(A;ID;FA;;;{ME})({entry})(A;ID;FA;;;SY)"
    assert windows_rights.of(text, is_directory=is_directory).mode & 0o002


@pytest.mark.parametrize(
    "entry",
    [
        "D;;FA;;;BU",  # denied: that takes nothing away from what others are given
        "A;OICIIO;FA;;;BU",  # for what will be made in there
        "A;;FR;;;BU",
        "A;;0x1200a9;;;WD",
        "A;;FA;;;OW",  # the owner, again
        "AU;SA;FA;;;BU",  # what is recorded
    ],
)
def test_what_changes_nothing_leaves_a_file_to_its_owner(entry: str) -> None:
    text = f"O:{ME}G:{ME}D:AI(A;ID;FA;;;{ME})({entry})"
    rights = windows_rights.of(text, is_directory=False)
    assert rights.uid == windows_rights.number_of(ME)
    assert not rights.mode & 0o022


@pytest.mark.parametrize(
    "descriptor",
    [
        "",
        "D:(A;;FA;;;BA)",
        "O:BAG:BA",  # no list at all: everybody may do everything
        "O:BAG:BAD:NO_ACCESS_CONTROL",
        "O:BAG:BAD:P(A;;FA;;;SY)x",
        "O:BAG:BAD:P(A;;FA;;;SY",
        "O:BAG:BAD:P(A;;FA;SY)",
    ],
)
def test_what_cannot_be_read_is_open_to_everybody(descriptor: str) -> None:
    assert windows_rights.of(descriptor, is_directory=False).mode & 0o002


def test_secret_that_others_may_read_is_none() -> None:
    listed = f"O:{ME}G:{ME}D:P(A;;FA;;;{ME})(A;;FA;;;SY)"
    assert not windows_rights.of(listed, is_directory=False).mode & 0o077
    assert windows_rights.of(listed + "(A;;FR;;;BU)", is_directory=False).mode & 0o077


def test_numbers_of_users_are_their_own() -> None:
    numbers = {windows_rights.number_of(sid) for sid in (ME, OTHER, "BU", "WD")}
    assert len(numbers) == 4
    assert 0 not in numbers
    assert {windows_rights.number_of(sid) for sid in ("SY", "BA", "S-1-5-18", INSTALLER)} == {0}


def test_list_for_one_user_is_private() -> None:
    made = windows_rights.private(ME)
    assert windows_rights.is_private(f"O:{ME}G:{ME}{made}")
    assert windows_rights.of(f"O:{ME}G:{ME}{made}", is_directory=False).mode == 0o600
    assert not windows_rights.is_private(f"O:{ME}G:{ME}D:AI(A;ID;FA;;;{ME})")


def test_rights_that_somebody_gave_are_told_from_those_taken_over() -> None:
    taken_over = f"O:{ME}G:{ME}D:AI(A;ID;FA;;;{ME})(A;ID;FA;;;SY)"
    assert not windows_rights.is_listed(taken_over)
    assert windows_rights.is_listed(taken_over + "(A;;FR;;;BU)")
