# SPDX-License-Identifier: Apache-2.0
"""The results of an audit as one page that needs nothing but a browser."""
