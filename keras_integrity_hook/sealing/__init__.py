# SPDX-License-Identifier: Apache-2.0
"""What a seal says and how bytes become digests: pure, and free of Keras, policy and logging."""
