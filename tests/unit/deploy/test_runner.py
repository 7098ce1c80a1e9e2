"""The deployment's own process, in one of its own: gevent patches the whole standard library."""

from __future__ import annotations

import json
import subprocess
import sys

#: one instance that answers at once, one that doesn't; what pyinfra keeps of them is all that is needed here
_SCRIPT = """
import json, types
from medicarche.deploy import runner
import gevent

runner._ANSWERED = 1.0
runner.base.deploy = lambda part: gevent.sleep(part["seconds"])
said, failed = [], set()

class Host:
    def __init__(self, name): self.name = name

state = types.SimpleNamespace(active_hosts={Host("quick"), Host("silent")}, fail_hosts=failed.update)
parts = {"quick": {"seconds": 0}, "silent": {"seconds": 60}}
runner._prepare(state, parts, lambda event, **values: said.append({"event": event, **values}))
print(json.dumps({"said": said, "failed": [host.name for host in failed]}))
"""


def test_an_instance_that_never_answers_has_failed_and_holds_up_nobody() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=50, check=True
    )
    told = json.loads(done.stdout)
    assert told["failed"] == ["silent"]
    (event,) = told["said"]
    assert (event["event"], event["host"], event["operation"]) == ("failed", "silent", "compare")
    assert event["lines"] == ["no answer for 1 s"]
