# SPDX-License-Identifier: Apache-2.0
"""What TensorFlow logs of a save."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator


@contextlib.contextmanager
def speaking_of(path: str, private: str) -> Iterator[None]:
    """TensorFlow logs where it writes: let that be where the user's model will be."""

    def rename(record: logging.LogRecord) -> bool:
        texts = record.args if isinstance(record.args, tuple) else ()
        record.args = tuple(
            os.fsdecode(one).replace(private, path) if isinstance(one, str | bytes) else one
            for one in texts
        )
        return True

    logger = logging.getLogger("tensorflow")
    logger.addFilter(rename)
    try:
        yield
    finally:
        logger.removeFilter(rename)
