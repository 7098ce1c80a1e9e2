"""What relates several places of the environment file: references, address ranges, ports, sizes.

Each check is a function that yields ``(path of keys, what is wrong; what to do)``; `CHECKS` lists them. They
run on models whose form is right; the names that exist are taken from the raw document, so that an error of
form in one thing isn't followed by errors about everything that refers to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from medicarche.spec.checks import addresses, directory, instances, people, supervision
from medicarche.spec.checks.content import Content, Finding
from medicarche.spec.checks.instances import RESERVED_PORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CHECKS", "RESERVED_PORTS", "Content", "Finding"]

CHECKS: tuple[Callable[[Content], Iterator[Finding]], ...] = (
    *addresses.CHECKS,
    *instances.CHECKS,
    *people.CHECKS,
    *directory.CHECKS,
    *supervision.CHECKS,
)
