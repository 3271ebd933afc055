# SPDX-License-Identifier: Apache-2.0
"""What a ``with`` block closes at its end, as it does files."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """Has ``close``, and can be used in a ``with`` block."""

    __slots__ = ()

    def close(self) -> None:
        """Give back what it holds; calling it again does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
