# SPDX-License-Identifier: Apache-2.0
"""How the hook gets into a process."""

# A start-up file has loaded it without this package, which then has it only by this line.
from keras_integrity_hook.activation import finder as finder
