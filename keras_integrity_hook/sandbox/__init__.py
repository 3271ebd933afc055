# SPDX-License-Identifier: Apache-2.0
"""Loading a model, and asking it, in a confined process."""
