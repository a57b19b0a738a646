"""compose: an instance without treedock."""

import click

from runner.cli import choosing, output
from runner.controller.project import open_project, open_repository


@click.command("compose")
@click.argument("instance", required=False, metavar="[ID]", shell_complete=choosing.complete)
@output.as_json
def compose_command(instance: str | None, json_: bool) -> None:
    """Print an instance as a Compose file, which runs it without treedock."""
    from runner.controller.observe.compose_export import compose_file

    repository = open_repository()
    chosen = choosing.one(repository, instance)
    text = compose_file(open_project(repository), chosen)
    if json_:
        output.show_json({"id": chosen, "compose": text})
    else:
        click.echo(text, nl=False)
