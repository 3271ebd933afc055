# SPDX-License-Identifier: Apache-2.0
"""Loading a model, and asking it, in a process that can hurt nobody.

Example:
    >>> from keras_integrity_hook import sandbox
    >>> with sandbox.load_model("model.keras", safe_mode=False) as model:  # doctest: +SKIP
    ...     model.predict(inputs)
"""

from keras_integrity_hook.isolation.attempts import Attempt as Attempt
from keras_integrity_hook.isolation.attempts import Source as Source
from keras_integrity_hook.isolation.sandbox_limits import SandboxLimits as SandboxLimits
from keras_integrity_hook.sandbox.loading import Sandbox as Sandbox
from keras_integrity_hook.sandbox.loading import load_model as load_model
from keras_integrity_hook.sandbox.model import SandboxedModel as SandboxedModel
from keras_integrity_hook.sandbox.model import Tensor as Tensor
