# SPDX-License-Identifier: Apache-2.0
"""Loaded into each worker by Dask (``distributed.worker.preload``): every model takes a moment, so
that a test can kill what is at work; one that is called ``killer`` takes its worker with it, and
one that is called ``held`` is not done before there is a file ``go-on`` beside its directory."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from keras_integrity_hook.fleet import examine
from keras_integrity_hook.fleet.findings import Finding
from keras_integrity_hook.fleet.options import Options
from keras_integrity_hook.fleet.targets import Target

_examine = examine.examine_one


def _slowly(target: Target, options: Options) -> Finding:
    time.sleep(0.02)
    beside = os.path.join(os.path.dirname(os.path.dirname(target.location)), "go-on")
    while "held" in target.location and not os.path.exists(beside):
        time.sleep(0.05)
    if "killer" in target.location:
        os.kill(os.getpid(), signal.SIGKILL)
    return _examine(target, options)


def dask_setup(worker: Any) -> None:
    """Called by Dask once in each worker."""
    examine.examine_one = _slowly
