# SPDX-License-Identifier: Apache-2.0
"""tf_keras (Keras 2): what is wrapped, and what stands before it."""
