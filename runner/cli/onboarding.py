"""init, config, doctor, demo, version: about the project and this machine."""

import json
from pathlib import Path

import click

from runner.cli import output
from runner.cli.progress import narration
from runner.controller.project import CONFIG_FILE, Project, open_project, open_repository
from runner.domain.errors import NotFound


@click.command("init")
@click.option("--force", is_flag=True, help="Replace a treedock.yaml that is there.")
@output.as_json
def init_command(force: bool, json_: bool) -> None:
    """Look at the repository and write a treedock.yaml for it."""
    from runner.controller.onboarding.init import init

    found = init(open_repository().checkout, force=force)
    if json_:
        output.show_json({"path": str(found.path), "found": list(found.sentences)})
        return
    for sentence in found.sentences:
        click.echo(output.printable(sentence), err=True)
    click.echo(str(found.path))
    click.echo("Look it over, commit it, and then: treedock up ID", err=True)


@click.group("config")
def config_command() -> None:
    """The configuration: effective values, JSON Schema, check."""


@config_command.command("show")
@output.as_json
def show_command(json_: bool) -> None:
    """Print every effective value and where it came from."""
    from runner.controller.onboarding.config_report import effective

    values = effective(open_project(open_repository()))
    if json_:
        output.show_json({"config": {v.key: {"value": v.value, "from": v.origin} for v in values}})
    else:
        rows = [[v.key, json.dumps(v.value), v.origin] for v in values]
        output.show_table(["KEY", "VALUE", "FROM"], rows)


@config_command.command("schema")
@output.as_json
def schema_command(json_: bool) -> None:
    """Print the JSON Schema of treedock.yaml."""
    from runner.domain.config.schema import schema

    document = schema()
    if json_:
        output.show_json({"schema": document})
    else:
        click.echo(json.dumps(document, indent=2))


@config_command.command("check")
@output.as_json
def check_command(json_: bool) -> None:
    """Check treedock.yaml, and that base has what it names, without doing anything."""
    from runner.controller.onboarding.config_report import check

    project = open_project(open_repository())
    doubts = check(project)
    if json_:
        output.show_json({"ok": True, "name": project.name, "warnings": doubts})
    else:
        for doubt in doubts:
            click.echo(output.printable(f"warning: {doubt}"), err=True)
        click.echo(f"treedock.yaml of {project.name} is fine")


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Take the way out where that is safe.")
@output.as_json
def doctor_command(fix: bool, json_: bool) -> int:
    """Check this machine and this repository; each finding has a way out."""
    from runner.controller.onboarding.doctor import examine

    with narration() as emit:
        findings = examine(_project_if_any(), fix=fix, emit=emit)
    if json_:
        output.show_json({"findings": [finding.to_json() for finding in findings]})
    else:
        for finding in findings:
            mark = "fixed" if finding.fixed else finding.status
            click.echo(f"{mark:<8} {finding.check}: {output.shown(finding.message)}")
            if finding.way_out and not finding.fixed:
                click.echo(f"         {output.shown(finding.way_out)}")
    return 5 if any(f.status == "problem" and not f.fixed for f in findings) else 0


@click.command("demo")
@click.argument("folder", type=click.Path(path_type=Path))
@output.as_json
def demo_command(folder: Path, json_: bool) -> None:
    """Copy the demo project into FOLDER, as a repository of its own."""
    from runner.controller.onboarding.demo import copy_demo

    copy_demo(folder)
    if json_:
        output.show_json({"path": str(folder.absolute())})
    else:
        click.echo(str(folder.absolute()))
        click.echo(f"Now: cd {folder} && treedock up auth payments search", err=True)


@click.command("version")
@output.as_json
def version_command(json_: bool) -> None:
    """Print the version."""
    from runner import __version__

    if json_:
        output.show_json({"version": __version__})
    else:
        click.echo(f"treedock {__version__}")


def _project_if_any() -> Project | None:
    """The project we stand in, or None outside of one; a faulty treedock.yaml is an error, and so
    is a repository that cannot be opened."""
    try:
        repository = open_repository()
    except NotFound:
        return None
    return open_project(repository) if (repository.checkout / CONFIG_FILE).exists() else None
