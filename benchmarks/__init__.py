# SPDX-License-Identifier: Apache-2.0
"""What the hook costs, measured side by side with plain Keras: ``python -m benchmarks``.

Unit ``L`` is one parallel chunked SHA-256 pass over the same file with all cores, in the same
run: no check of every byte of a file can be cheaper, whatever the machine.
"""
