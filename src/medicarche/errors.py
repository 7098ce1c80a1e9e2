"""Every error that Medicarche raises on purpose.

    MedicarcheError                 exit 1   anything below, and failures without a class
    ├── SpecificationError          exit 3   the environment file is wrong (all errors at once)
    ├── MachineError                exit 4   this machine can't carry it (root, disk, memory)
    ├── CloudError                  exit 5   the cloud can't be used as it is
    │   ├── CloudUnreachable                 it doesn't answer
    │   ├── CloudRefused                     it refuses the credentials, or the right to act
    │   ├── CloudUnsuitable                  a service or an extension is missing
    │   └── QuotaTooSmall                    found before anything is created
    ├── Locked                      exit 6   another run holds the lock
    ├── OutsideNamespace            exit 7   a private address of the embedded cloud, from outside of it
    ├── ObjectiveBroken             exit 8   under load, an application doesn't hold what it has to
    ├── RunInvalid                  exit 9   a load run that says nothing, neither good nor bad
    ├── ConvergenceError            exit 1   an action failed; the others that could be finished were
    ├── CommandError                exit 1   a program that we started failed (its log's path and last lines)
    ├── DeploymentError             exit 1   an application couldn't be deployed
    └── Unreachable                 exit 1   an instance doesn't answer (SSH, HTTP) in its time
        └── NotReady                         it runs, but didn't finish booting

Other exit codes: 0 done, or nothing to do; 2 `plan` found changes; 64 the command line is wrong
(EX_USAGE of sysexits.h); 130 interrupted.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CloudError",
    "CloudRefused",
    "CloudUnreachable",
    "CloudUnsuitable",
    "CommandError",
    "ConvergenceError",
    "DeploymentError",
    "Locked",
    "MachineError",
    "MedicarcheError",
    "NotReady",
    "ObjectiveBroken",
    "OutsideNamespace",
    "QuotaTooSmall",
    "RunInvalid",
    "SpecificationError",
    "Unreachable",
]


class MedicarcheError(Exception):
    """An error that is told to the user as it is, without a traceback.

    Args:
        message: what is wrong, in one or more whole lines; names the resource and the request id where
            there is one.
        hint: what to do next: the command to run, the setting to change.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SpecificationError(MedicarcheError):
    """The environment file is wrong. The message holds one line per error: ``file:line: key: what``."""

    exit_code = 3


class MachineError(MedicarcheError):
    """This machine can't carry the work: rights, disk, memory, kernel, package registry."""

    exit_code = 4


class CloudError(MedicarcheError):
    """The cloud can't be used as it is."""

    exit_code = 5


class CloudUnreachable(CloudError):
    """The cloud doesn't answer."""


class CloudRefused(CloudError):
    """The cloud refuses the credentials, or the right to do what was asked."""


class CloudUnsuitable(CloudError):
    """The cloud lacks a service, an extension or an object that the environment needs."""


class QuotaTooSmall(CloudError):
    """The project's quota is smaller than what the environment needs."""


class Locked(MedicarcheError):
    """Another run holds the lock; the message says who, since when."""

    exit_code = 6


class OutsideNamespace(MedicarcheError):
    """A connection to a private address of the embedded cloud from outside of its network name space."""

    exit_code = 7


class ObjectiveBroken(MedicarcheError):
    """An application under load doesn't hold an objective: which one, and what was measured."""

    exit_code = 8


class RunInvalid(MedicarcheError):
    """A load run by which nothing can be judged: the generator or the machine was too busy."""

    exit_code = 9


class ConvergenceError(MedicarcheError):
    """One or more actions failed; what didn't depend on them was finished."""


class CommandError(MedicarcheError):
    """A program that we started failed."""


class DeploymentError(MedicarcheError):
    """An application couldn't be deployed."""


class Unreachable(MedicarcheError):
    """An instance doesn't answer in its time."""


class NotReady(Unreachable):
    """Instances that run weren't ready in their time.

    Args:
        message: what was seen last of each.
        names: the instances.
        hint: as for every error.
    """

    def __init__(self, message: str, *, names: frozenset[str], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.names = names
