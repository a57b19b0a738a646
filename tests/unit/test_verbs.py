"""The table of verbs: each is a request, an act and an answer, and every face asks the same."""

import ast
import inspect
import sys
import typing
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator

from runner.cli.main import treedock
from runner.controller.project import Place, Project, Repository
from runner.controller.table import VERBS, act_of, request_of
from runner.controller.verbs import Controller
from runner.domain.errors import NotFound
from runner.domain.events import Emit
from runner.domain.requests.request import answer_of
from runner.domain.requests.schema import schema_of

SCOPES = {"machine": Place, "repository": Repository, "project": Project}

# Options that say how an answer is shown, and those that are spelled otherwise than a request's.
SHOWN = {"json_", "timings", "follow", "stat", "files"}
OTHERWISE = {
    "review": {"patches"},  # --stat and --files do without
    "exec": {"command"},  # what stands behind `--`
    "rebase": {"how"},
    "merge": {"undo"},  # a request of its own
    "config schema": set[str](),
}
ALIASES = {"rebase": "update"}


def commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """Every command that has --json, by its words."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        words = f"{before}{name}"
        if isinstance(command, click.Group):
            found |= commands(command, f"{words} ")
        elif any(one.name == "json_" for one in command.params):
            found[words] = command
    return found


COMMANDS = commands(treedock)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_a_request_an_act_and_an_answer(verb: str) -> None:
    request = request_of(verb)
    hints = typing.get_type_hints(act_of(verb))
    place, asked, emit, answered = hints.values()
    assert (request.verb, asked, emit) == (verb, request, Emit)
    assert place is SCOPES[VERBS[verb].scope]
    assert answered is answer_of(request)


@pytest.mark.parametrize("verb", VERBS)
def test_every_field_of_a_request_and_every_key_of_an_answer_is_documented(verb: str) -> None:
    for model in (request_of(verb), answer_of(request_of(verb))):
        own = [one.name for one in fields(model)]
        described = {name for one in model.__mro__ for name in documented(one)}
        assert set(own) <= described | {"verb"}, model
    assert request_of(verb).__doc__


@pytest.mark.parametrize("words", COMMANDS)
def test_the_command_line_asks_what_a_request_can_hold(words: str) -> None:
    asked = {one.name for one in COMMANDS[words].params} - SHOWN - {"help"}
    held = {one.name for one in fields(request_of(ALIASES.get(words, words)))}
    assert asked ^ held == OTHERWISE.get(words, set())


def test_every_verb_is_a_command() -> None:
    assert VERBS.keys() - {"merge --undo"} == COMMANDS.keys() - ALIASES.keys()


def test_a_key_means_the_same_in_every_answer() -> None:
    types: dict[str, set[str]] = {}
    for verb in VERBS:
        for one in fields(answer_of(request_of(verb))):
            types.setdefault(one.name, set()).add(str(one.type))
    assert {key: found for key, found in types.items() if len(found) > 1} == {}


@pytest.mark.parametrize("verb", VERBS)
def test_a_failed_verb_answers_in_its_envelope(verb: str, tmp_path: Path) -> None:
    answer_type = answer_of(request_of(verb))
    schema = schema_of(verb, answer_type)
    Draft202012Validator.check_schema(schema)
    values: dict[str, Any] = {
        one.name: ("x",) if "tuple" in str(one.type) else "x"
        for one in fields(request_of(verb))
        if one.default is MISSING and one.default_factory is MISSING
    }
    answer = Controller.open(tmp_path).run(request_of(verb)(**values))
    assert isinstance(answer, answer_type)
    document = answer.to_json()
    Draft202012Validator(schema).validate(plain(document))
    assert document["exit_code"] == answer.exit_code
    if VERBS[verb].scope != "machine":
        assert (answer.error and answer.error.code, answer.exit_code) == ("not_found", 3)
        with pytest.raises(NotFound, match="is not in a git repository"):
            answer.require()


def test_python_has_the_same_door(tmp_path: Path) -> None:
    import runner

    answer = runner.Controller.open(tmp_path).run(runner.Version())
    assert answer.version == runner.__version__
    assert {request_of(verb).__name__ for verb in VERBS} <= set(dir(runner))
    with pytest.raises(AttributeError):
        _ = runner.Nonsense


def plain(document: Any) -> Any:
    """As JSON gives it back."""
    if isinstance(document, dict):
        return {key: plain(value) for key, value in document.items()}
    return [plain(one) for one in document] if isinstance(document, list | tuple) else document


def documented(model: type) -> set[str]:
    """The fields of a class with a string under them."""
    if model.__module__.partition(".")[0] != "runner":
        return set()
    module = ast.parse(inspect.getsource(sys.modules[model.__module__]))
    (node,) = (n for n in module.body if isinstance(n, ast.ClassDef) and n.name == model.__name__)
    pairs = zip(node.body, node.body[1:], strict=False)
    return {
        field.target.id
        for field, text in pairs
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
    }
