# SPDX-License-Identifier: Apache-2.0
"""The disk, without a thought of models: opening, locating, replacing, who may write."""
