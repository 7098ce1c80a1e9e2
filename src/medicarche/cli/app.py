"""The command group, and the options that all commands share."""

from __future__ import annotations

from pathlib import Path

import click

from medicarche import __version__
from medicarche.cli import applications, cloud, directory, environment, floating_ip, instance, load, people
from medicarche.target import Options

__all__ = ["medicarche"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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


for command in (
    cloud.cloud,
    people.people,
    environment.plan,
    environment.provision,
    environment.status,
    environment.destroy,
    environment.schema,
    instance.console,
    instance.audit,
    instance.ssh,
    applications.credentials,
    applications.ca,
    directory.directory,
    floating_ip.floating_ip,
    load.load,
):
    medicarche.add_command(command)
