# SPDX-License-Identifier: Apache-2.0
"""Which functions of the host are wrapped: one table-like module per host."""
