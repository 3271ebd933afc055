# SPDX-License-Identifier: Apache-2.0
"""What this process demands of a model, and who decided it."""
