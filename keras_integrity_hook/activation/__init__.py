# SPDX-License-Identifier: Apache-2.0
"""How the hook gets into a process. Imported at every interpreter start: keep it empty."""
