# SPDX-License-Identifier: Apache-2.0
"""KerasHub: what is wrapped, and what stands before it."""
