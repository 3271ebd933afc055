# SPDX-License-Identifier: Apache-2.0
"""Keys, signers, whom this machine trusts, and whose signatures on a seal are good."""
