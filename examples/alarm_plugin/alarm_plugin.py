# SPDX-License-Identifier: Apache-2.0
"""A listener that writes every refusal into a file of its own, for whatever watches that file.

It is called after the load is decided, in a thread of its own, and cannot change anything.
"""

import json
import os
from typing import Any

ALARMS = os.environ.get("ALARMS", "alarms.jsonl")


def hear(event: dict[str, Any]) -> None:
    """Keep what was refused, and why."""
    if event["outcome"] != "refused":
        return
    alarm = {"path": event["path"], "error": event["facts"]["error"]["code"], "time": event["time"]}
    with open(ALARMS, "a", encoding="utf-8") as file:
        file.write(json.dumps(alarm) + "\n")
