# SPDX-License-Identifier: Apache-2.0
"""What this machine remembers of the models that were saved and loaded at a path."""
