# SPDX-License-Identifier: Apache-2.0
"""The registry as a service over HTTP."""
