# SPDX-License-Identifier: Apache-2.0
"""What people do with Keras models in other libraries; no script knows that there is a hook."""
