# SPDX-License-Identifier: Apache-2.0
"""Bytes against digests: is the content what its seal says, and does it stay so?"""
