# SPDX-License-Identifier: Apache-2.0
"""Models that attack and models that do not, all made on the spot by the scripts of this package.

``malicious.CASES`` are written without Keras, by hand: what an attacker would write into a file.
``harmless`` is run in a process of its own and lets Keras write what people save.
"""
