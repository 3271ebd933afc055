# SPDX-License-Identifier: Apache-2.0
"""A load: open once, find the seal, decide, verify, hand over."""
