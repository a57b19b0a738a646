"""init, config, schema, doctor, demo, version: about the project and this machine."""

import json
from typing import TYPE_CHECKING

import click

from runner.cli import output
from runner.cli.run import run

if TYPE_CHECKING:
    from runner.domain.requests.onboarding import Checked, Diagnosis, Schemas, Values, Written


@click.command("init")
@click.option("--force", is_flag=True, help="Replace a treedock.yaml that is there.")
@output.as_json
def init_command(force: bool, json_: bool) -> int:
    """Look at the repository and write a treedock.yaml for it."""
    from runner.domain.requests.onboarding import Init

    answer = run(Init(force=force))
    return output.finish(answer, lambda: _show_written(answer), json_=json_)


def _show_written(answer: "Written") -> None:
    for sentence in answer.found:
        click.echo(output.printable(sentence), err=True)
    click.echo(answer.path)
    click.echo("Look it over, commit it, and then: treedock up ID", err=True)


@click.group("config")
def config_command() -> None:
    """The configuration: effective values, JSON Schema, check."""


@config_command.command("show")
@output.as_json
def show_command(json_: bool) -> int:
    """Print every effective value and where it came from."""
    from runner.domain.requests.onboarding import ShowConfig

    answer = run(ShowConfig())
    return output.finish(answer, lambda: _show_values(answer), json_=json_)


def _show_values(answer: "Values") -> None:
    rows = [[one.key, json.dumps(one.value), one.origin] for one in answer.values]
    output.show_table(["KEY", "VALUE", "FROM"], rows)


@config_command.command("schema")
@output.as_json
def config_schema_command(json_: bool) -> int:
    """Print the JSON Schema of treedock.yaml."""
    from runner.domain.requests.onboarding import ConfigSchema

    answer = run(ConfigSchema())
    return output.finish(answer, lambda: _show_schemas(answer, alone=True), json_=json_)


def _show_schemas(answer: "Schemas", *, alone: bool) -> None:
    """All of them by name, or the one that there is."""
    found = next(iter(answer.schemas.values())) if alone else answer.schemas
    click.echo(json.dumps(found, indent=2))


@config_command.command("check")
@output.as_json
def check_command(json_: bool) -> int:
    """Check treedock.yaml, and that base has what it names, without doing anything."""
    from runner.domain.requests.onboarding import CheckConfig

    answer = run(CheckConfig())
    return output.finish(answer, lambda: _show_checked(answer), json_=json_)


def _show_checked(answer: "Checked") -> None:
    for warning in answer.warnings:
        click.echo(output.printable(f"warning: {warning}"), err=True)
    click.echo(f"treedock.yaml of {answer.name} is fine")


@click.group("schema")
def schema_command() -> None:
    """What programs can rely on."""


@schema_command.command("json")
@click.argument("verbs", nargs=-1, metavar="[VERB]...")
@output.as_json
def json_command(verbs: tuple[str, ...], json_: bool) -> int:
    """Print the JSON Schema of the document that --json prints, by verb.

    A verb of two words is one argument: treedock schema json "db list".
    """
    from runner.domain.requests.onboarding import JsonSchema

    answer = run(JsonSchema(verbs=verbs))
    alone = len(verbs) == 1
    return output.finish(answer, lambda: _show_schemas(answer, alone=alone), json_=json_)


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Take the way out where that is safe.")
@output.as_json
def doctor_command(fix: bool, json_: bool) -> int:
    """Check this machine and this repository; each finding has a way out."""
    from runner.domain.requests.onboarding import Examine

    answer = run(Examine(fix=fix))
    return output.finish(answer, lambda: _show_findings(answer), json_=json_)


def _show_findings(answer: "Diagnosis") -> None:
    for finding in answer.findings:
        mark = "fixed" if finding.fixed else finding.status
        click.echo(f"{mark:<8} {finding.check}: {output.shown(finding.message)}")
        if finding.way_out and not finding.fixed:
            click.echo(f"         {output.shown(finding.way_out)}")


@click.command("demo")
@click.argument("folder", type=click.Path())
@output.as_json
def demo_command(folder: str, json_: bool) -> int:
    """Copy the demo project into FOLDER, as a repository of its own."""
    from runner.domain.requests.onboarding import Demo

    answer = run(Demo(folder=folder))
    return output.finish(answer, lambda: _show_demo(answer.path, folder), json_=json_)


def _show_demo(path: str, folder: str) -> None:
    click.echo(path)
    click.echo(f"Now: cd {folder} && treedock up auth payments search", err=True)


@click.command("version")
@output.as_json
def version_command(json_: bool) -> int:
    """Print the version."""
    from runner.domain.requests.onboarding import Version

    answer = run(Version())
    return output.finish(answer, lambda: click.echo(f"treedock {answer.version}"), json_=json_)
