# SPDX-License-Identifier: Apache-2.0
"""Seal, unseal, sign, verify, scan and inspect models; needs neither Keras nor h5py.

What only some of them need is imported by those: ``keras-integrity verify`` is to start at once.
"""

from keras_integrity_hook.api.changing import reseal as reseal
from keras_integrity_hook.api.changing import seal as seal
from keras_integrity_hook.api.changing import set_contract as set_contract
from keras_integrity_hook.api.changing import sign as sign
from keras_integrity_hook.api.changing import unseal as unseal
from keras_integrity_hook.api.opening import opened as opened
from keras_integrity_hook.api.reading import diff as diff
from keras_integrity_hook.api.reading import inspect as inspect
from keras_integrity_hook.api.reading import scan as scan
from keras_integrity_hook.api.reading import verify as verify
from keras_integrity_hook.api.reading import verify_each_at_hand as verify_each_at_hand
