# SPDX-License-Identifier: Apache-2.0
"""The first tables: the log, which cannot be changed, and the state that follows from it."""

from __future__ import annotations
