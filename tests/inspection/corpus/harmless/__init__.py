# SPDX-License-Identifier: Apache-2.0
"""Harmless models, made and saved by the libraries themselves.

``python -m tests.inspection.corpus.harmless FOLDER PART…`` writes them below ``FOLDER`` and prints
the number of each part; a process of its own, because it imports Keras, tf_keras or KerasHub.
"""
