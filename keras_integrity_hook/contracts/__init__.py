# SPDX-License-Identifier: Apache-2.0
"""What a model may be asked: the input contract, its spelling in a seal, and its checks."""
