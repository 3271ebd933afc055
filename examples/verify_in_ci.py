# SPDX-License-Identifier: Apache-2.0
"""Check every model below a directory in CI: ``python verify_in_ci.py models/``.

Prints one line for each model that does not pass, in the form that GitHub shows beside the files,
and ends with the status of the command. Neither Keras nor TensorFlow has to be installed for it.
"""

import json
import subprocess
import sys

done = subprocess.run(
    [sys.executable, "-m", "keras_integrity_hook.cli", "verify", "--json", *sys.argv[1:]],
    stdout=subprocess.PIPE,
    check=False,
)
if not done.stdout:
    sys.exit(done.returncode)  # the command line is wrong, and it has said so
results = json.loads(done.stdout).get("results", [])
for result in results:
    if not result["ok"]:
        error = result["error"] or {"message": "the model has no seal", "remedy": ""}
        print(f"::error file={result['path']}::{error['message']} {error['remedy']}")
print(f"{sum(result['ok'] for result in results)} of {len(results)} models pass")
sys.exit(done.returncode)
