"""Asking an instance several things in one round trip.

pyinfra asks one fact after another, and each costs a round trip. What is compared before anything is changed
is known beforehand: it is asked in one command, and the operations find their answers here. Once operations
run, each asks afresh, for those before it have changed things.

Imported in the deployment's own process only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pyinfra.api.facts import FactBase
from pyinfra.api.state import StateStage
from pyinfra.context import host

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Question = tuple[type[FactBase[Any]], Mapping[str, Any]]

__all__ = ["Together", "ask", "ask_together"]

T = TypeVar("T")
#: parts one answer from the next; no program says this
_NEXT = "=== medicarche: next ==="
#: (host name, fact) → its arguments and answer
_ANSWERS: dict[tuple[str, type[FactBase[Any]]], tuple[Mapping[str, Any], Any]] = {}


class Together(FactBase[list[list[str]]]):
    """The lines that several commands print, command by command; how they end says nothing."""

    def command(self, commands: Sequence[str]) -> str:
        """Run one after the other."""
        return f"\necho '{_NEXT}'\n".join([*commands, "true"])

    def process(self, output: Iterable[str]) -> list[list[str]]:
        """Part the lines."""
        parts: list[list[str]] = [[]]
        for line in output:
            if line.strip() == _NEXT:
                parts.append([])
            else:
                parts[-1].append(line)
        return parts[:-1]


def ask_together(questions: Sequence[Question]) -> None:
    """Ask the current host all of these in one command, for the operations that are compared next."""
    facts = [(fact(), arguments) for fact, arguments in questions]
    commands = [str(fact.command(**arguments)) for fact, arguments in facts]
    answers = host.get_fact(Together, commands=commands)
    for (fact, arguments), lines in zip(facts, answers, strict=True):
        _ANSWERS[host.name, type(fact)] = arguments, fact.process(lines)


def ask(fact: type[FactBase[T]], **arguments: Any) -> T:  # noqa: ANN401 - a fact's own arguments
    """Return a fact of the current host: what was asked together, or asked now."""
    known = _ANSWERS.get((host.name, fact))
    if host.state.current_stage is StateStage.Prepare and known is not None and known[0] == arguments:
        answer: T = known[1]
        return answer
    found: T = host.get_fact(fact, **arguments)
    return found
