"""The alerts as data: Prometheus' rules and the page of instructions are made from one file."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

__all__ = ["FILE", "Alert", "anchor", "instructions", "load_alerts", "rules"]

FILE = Path(__file__).parent / "alerts.yaml"
_TEMPLATE = re.compile(r"\{\{[^}]*\$labels\.(\w+)[^}]*\}\}")
_VALUE = re.compile(r"\{\{[^}]*\$value[^}]*\}\}")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. ``held``: how long its condition has to hold; ``steps``: what who reads it does."""

    name: str
    expression: str
    held: str
    severity: str
    summary: str
    steps: tuple[str, ...]


@cache
def load_alerts(path: Path = FILE) -> tuple[Alert, ...]:
    """Read the alerts.

    Raises:
        KeyError: one lacks something.
    """
    data = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return tuple(
        Alert(
            name=name,
            expression=entry["expr"],
            held=entry["for"],
            severity=entry["severite"],
            summary=entry["resume"],
            steps=tuple(entry["que_faire"]),
        )
        for name, entry in data.items()
    )


def anchor(name: str) -> str:
    """Return an alert's place on the page of instructions: ``DisquePlein`` is at ``disque-plein``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def rules(page: str) -> dict[str, Any]:
    """Return Prometheus' rule file; ``page``: the address of the page of instructions."""
    return {
        "groups": [
            {
                "name": "medicarche",
                "rules": [
                    {
                        "alert": alert.name,
                        "expr": alert.expression,
                        "for": alert.held,
                        "labels": {"severity": alert.severity},
                        "annotations": {
                            "resume": alert.summary,
                            "que_faire": "\n".join(f"{n}. {s}" for n, s in enumerate(alert.steps, 1)),
                            "consigne": f"{page}#{anchor(alert.name)}",
                        },
                    }
                    for alert in load_alerts()
                ],
            }
        ]
    }


def instructions() -> tuple[dict[str, Any], ...]:
    """Return what the page of instructions shows, escaped for HTML; a series' labels are ``<instance>``."""
    return tuple(
        {
            "name": alert.name,
            "anchor": anchor(alert.name),
            "severity": alert.severity,
            "held": alert.held,
            "summary": _for_people(alert.summary),
            "steps": [_for_people(step) for step in alert.steps],
        }
        for alert in load_alerts()
    )


def _for_people(text: str) -> str:
    return html.escape(_VALUE.sub("…", _TEMPLATE.sub(r"<\1>", text)))
