# SPDX-License-Identifier: Apache-2.0
"""A process that can hurt nobody, and talking to it: nothing here knows what a model is."""
