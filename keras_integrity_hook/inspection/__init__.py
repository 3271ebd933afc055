# SPDX-License-Identifier: Apache-2.0
"""What is in a model, judged before it is loaded: findings about what Keras would do with it.

Verified bytes are read, nothing is deserialized, and neither Keras nor libhdf5 is imported.
"""
