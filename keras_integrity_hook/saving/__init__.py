# SPDX-License-Identifier: Apache-2.0
"""A save: write privately, seal, put in place."""
