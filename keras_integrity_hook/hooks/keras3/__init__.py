# SPDX-License-Identifier: Apache-2.0
"""Keras 3: what is wrapped, and what stands before it."""
