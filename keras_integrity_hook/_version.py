# SPDX-License-Identifier: Apache-2.0
"""The version, by itself: setup.cfg reads it without importing the package."""

__version__ = "0.2.0"
