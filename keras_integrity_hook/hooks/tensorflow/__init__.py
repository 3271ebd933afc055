# SPDX-License-Identifier: Apache-2.0
"""TensorFlow: what is wrapped, and what stands before it."""
