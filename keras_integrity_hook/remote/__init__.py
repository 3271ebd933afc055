# SPDX-License-Identifier: Apache-2.0
"""Models that lie in other file systems: how their bytes come here, and how they go there."""
