"""Fixtures, options, the requirement marker and the report of the acceptance tests.

Enable it from a root ``conftest.py``: ``pytest_plugins = ("medicarche.pytest_plugin",)``. It does nothing in
a run without acceptance tests: whatever is slow to import is imported where it is first used.

The environment is built once, by the fixture `provisioned`, and is never torn down: that is the user's
decision (``medicarche destroy``, ``medicarche cloud purge``). From then on the test process is in the
embedded cloud's network name space.
"""

from __future__ import annotations

pytest_plugins = (
    "medicarche.pytest_plugin.options",
    "medicarche.pytest_plugin.collection",
    "medicarche.pytest_plugin.fixtures",
    "medicarche.pytest_plugin.attachments",
    "medicarche.pytest_plugin.reporting",
)
