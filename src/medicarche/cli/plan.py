"""``medicarche plan``: what `provision` would change."""

from __future__ import annotations

from dataclasses import replace

import click

from medicarche import connecting
from medicarche.cli.arguments import WITHOUT

__all__ = ["plan"]

CHANGES = 2


@click.command()
@click.option("--json", "json_output", is_flag=True, help="For other programs.")
@click.option(
    "--deploy", is_flag=True, help="Look into the instances too: what deploying would change there."
)
@click.option(
    "--graph",
    type=click.Choice(["mermaid", "dot"]),
    help="Print what waits for what instead, as text for Mermaid or Graphviz.",
)
@WITHOUT
@click.pass_context
def plan(
    context: click.Context, *, json_output: bool, deploy: bool, graph: str | None, without: tuple[str, ...]
) -> None:
    """Show what `provision` would change; changes nothing. Exit code 0: nothing, 2: changes."""
    if graph and (json_output or deploy):
        raise click.UsageError("--graph shows the cloud's part, as text: leave out --json and --deploy")
    options = replace(context.obj, without=without)
    connected = connecting.begin(options)
    from medicarche.cli import planned  # noqa: PLC0415 - read while Keystone looks at the passwords

    shown = planned.look(options, connected, quiet=json_output, deploy=deploy)
    with shown.connections:
        if graph:
            shown.print_graph(graph)
        elif json_output:
            shown.print_json()
        else:
            shown.print()
        shown.refuse_conflicts()
        context.exit(CHANGES if shown.changes else 0)
