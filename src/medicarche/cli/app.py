"""The command group, and the options that all commands share."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

import click

from medicarche import __version__
from medicarche.options import Options

__all__ = ["medicarche"]


#: command → the module of this package that has it
_MODULES: Final = {
    "audit": "instance",
    "ca": "applications",
    "cloud": "cloud",
    "console": "instance",
    "credentials": "applications",
    "dashboards": "dashboards",
    "destroy": "environment",
    "directory": "directory",
    "floating-ip": "floating_ip",
    "load": "load",
    "people": "people",
    "plan": "plan",
    "provision": "environment",
    "schema": "environment",
    "ssh": "instance",
    "status": "environment",
}


class _Commands(click.Group):
    """The commands, each of which is imported where it is asked for: each needs other libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return all names."""
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """Return a command, or None where there is none of that name."""
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"medicarche.cli.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__)
@click.option(
    "--environment",
    "environment_file",
    type=click.Path(path_type=Path),
    default=Path("environments/medicarche.yaml"),
    envvar="MEDICARCHE_ENVIRONMENT",
    show_default=True,
    show_envvar=True,
    help="The environment file.",
)
@click.option(
    "--cloud", help="An entry of clouds.yaml; default: OS_CLOUD, and the embedded OpenStack without that."
)
@click.option(
    "--admin-cloud",
    envvar="MEDICARCHE_ADMIN_CLOUD",
    show_envvar=True,
    help="An entry of clouds.yaml with administrator's rights, used for what only an admin may do.",
)
@click.option(
    "--embedded-name",
    envvar="MEDICARCHE_EMBEDDED_NAME",
    show_envvar=True,
    help="The embedded OpenStack's name; several can run side by side.  [default: medicarche]",
)
@click.pass_context
def medicarche(
    context: click.Context,
    environment_file: Path,
    cloud: str | None,
    admin_cloud: str | None,
    embedded_name: str | None,
) -> None:
    r"""Build a company's IT environment on OpenStack from one file, prove it, measure it.

    \b
    Exit codes: 0 done, or nothing to do    1 error                2 plan: there are changes
                3 environment file wrong    4 machine unsuitable   5 cloud unusable
                6 locked by another run     7 outside the cloud's network name space
                8 load: objective broken    9 load: run invalid, nothing can be judged
                64 command line wrong       70 a fault of ours     130 interrupted
    """
    context.obj = Options(
        environment_file=environment_file, cloud=cloud, admin_cloud=admin_cloud, embedded_name=embedded_name
    )
