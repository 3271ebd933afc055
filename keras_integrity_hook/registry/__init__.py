# SPDX-License-Identifier: Apache-2.0
"""What a fleet knows of its models: a log of signed events, and what follows from it."""
