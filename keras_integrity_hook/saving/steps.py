# SPDX-License-Identifier: Apache-2.0
"""The states of a save, each of which only the one before can lead to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from io import RawIOBase
from typing import Generic, TypeVar

from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.saving.statement import NewSeal
from keras_integrity_hook.settings import Settings

_Result = TypeVar("_Result")

Outcome = NewSeal | IntegrityError | str
"""The seal; or why there is none, an error or a short text: the user's model matters more
than its seal, and loads will say that it has none."""


@dataclass(frozen=True, slots=True)
class Requested:
    """What the user asked for.

    Attributes:
        path: the destination in the user's words, which errors and the audit log name.
        demands: the settings in force there.
    """

    path: str
    demands: Settings


class Reserved(ABC):
    """A place where nobody else writes, and the way from there to the destination.

    Attributes:
        where: the path that Keras is given in place of the user's.
        user_block: bytes to reserve in an HDF5 file.
        is_seal_lost: it was put in place, and its seal could not be.
    """

    where: str
    user_block: int = 0
    is_seal_lost: bool = False

    @property
    def private(self) -> str | None:
        """Where the sealed file, or the seal of a set, lies before it is put in place; None where
        nothing is moved."""
        return None

    def create(self) -> RawIOBase | None:
        """Create the file at :attr:`where` for a program that takes a file object, which has its
        content digested while it is written; None where that cannot be."""
        return None

    @abstractmethod
    def seal(self, requested: Requested) -> Outcome:
        """Seal what was written.

        Raises:
            SigningError: it has to be signed and could not be.
            AuditError, OSError: as named.
        """

    @abstractmethod
    def put_in_place(self, requested: Requested) -> None:
        """Let it take the place of what is at the destination.

        Raises:
            OSError: the destination is as it was, or the message says where the new model lies.
        """


@dataclass(frozen=True, slots=True)
class Written(Generic[_Result]):
    """Keras is done with the file or files.

    Attributes:
        result: what it returned.
    """

    reserved: Reserved
    result: _Result


@dataclass(frozen=True, slots=True)
class Sealed(Generic[_Result]):
    """The seal is in or beside what was written, or cannot be."""

    written: Written[_Result]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Recorded(Generic[_Result]):
    """The audit log, where there is one, tells of the save."""

    sealed: Sealed[_Result]


@dataclass(frozen=True, slots=True)
class InPlace(Generic[_Result]):
    """The model is where the user will find it."""

    result: _Result
