# SPDX-License-Identifier: Apache-2.0
"""What one module borrows from another, guarded for that module alone.

Keras opens some files inline, with ``h5py.File`` or ``zipfile.ZipFile``. Wrapping those where they
are defined would guard every program's HDF5 and ZIP files; wrapping the borrower's view of them
guards what Keras opens.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

_EMPTY = ModuleType("empty")  # lends nothing, so that a missing lender is noticed


class ModuleView:
    """A view of a module in the globals of a borrower; what is set on it hides the original's."""

    def __init__(self, original: ModuleType) -> None:
        self.__wrapped__ = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)


def put(borrower: ModuleType, name: str, attribute: str) -> bool:
    """Let ``borrower`` find a view at its global ``name``; idempotent.

    The view has ``attribute`` of its own, ready to be wrapped, if the lender has it.

    Returns:
        False where the borrower could not import the lender (None): it opens nothing with it.
    """
    lender = borrower.__dict__.get(name, _EMPTY)
    if lender is None:
        return False
    if not isinstance(lender, ModuleView):
        lender = ModuleView(lender)
    own = _lent(lender.__wrapped__, attribute)
    if attribute not in lender.__dict__ and own is not None:
        setattr(lender, attribute, own)
    setattr(borrower, name, lender)
    return True


def _lent(original: Any, attribute: str) -> Any:
    if isinstance(original, ModuleType):
        return getattr(original, attribute, None)

    # Keras's LazyModule imports what it stands for when it is first asked for something; that the
    # hook is there is no reason to.
    def when_called(*args: Any, **kwargs: Any) -> Any:
        return getattr(original, attribute)(*args, **kwargs)

    return when_called


def remove(borrower: ModuleType, name: str) -> None:
    """Give ``borrower`` the original back; does nothing where it has it."""
    lender = borrower.__dict__.get(name)
    if isinstance(lender, ModuleView):
        setattr(borrower, name, lender.__wrapped__)
