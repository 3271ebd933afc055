# SPDX-License-Identifier: Apache-2.0
"""Where a seal lives in each format, and which bytes it covers: descriptors in, values out."""
