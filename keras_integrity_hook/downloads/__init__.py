# SPDX-License-Identifier: Apache-2.0
"""Model files that are downloaded: which ways are allowed, and how each hop is watched."""
