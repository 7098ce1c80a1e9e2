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


#: an instance's connection, as pyinfra keeps it, and what the deployment does with it
_CONNECTED = """
import types
from medicarche.deploy import runner

class Transport:
    def set_keepalive(self, seconds): print("word after", seconds)

client = types.SimpleNamespace(get_transport=Transport)
host = types.SimpleNamespace(name="website", connector=types.SimpleNamespace(client=client))
runner.connect_all = lambda state: print("connected")
def prepare(*_): raise runner.PyinfraError("far enough")
runner._prepare = prepare
runner.disconnect_all = lambda state: None
state = types.SimpleNamespace(
    active_hosts=[host], inventory=None, config=None, failed_hosts=[host], set_stage=lambda _: None,
    current_stage=None, ops={}
)
runner._tell = lambda *_, **__: False
runner.context = types.SimpleNamespace(**{n: types.SimpleNamespace(set=lambda _: None) for n in
    ("ctx_state", "ctx_inventory", "ctx_config")})
runner._deploy(state, {"instances": [{"name": "website"}], "dry_run": True}, print)
"""


def test_its_connections_outlive_a_change_of_security_groups() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CONNECTED], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout.splitlines() == ["connected", "word after 10"]


def test_an_instance_that_never_answers_has_failed_and_holds_up_nobody() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=50, check=True
    )
    told = json.loads(done.stdout)
    assert told["failed"] == ["silent"]
    (event,) = told["said"]
    assert (event["event"], event["host"], event["operation"]) == ("failed", "silent", "compare")
    assert event["lines"] == ["no answer for 1 s"]
