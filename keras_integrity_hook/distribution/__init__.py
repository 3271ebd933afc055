# SPDX-License-Identifier: Apache-2.0
"""How trust files, policies and revocations come to many machines: published and pulled by TUF."""
