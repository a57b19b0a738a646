"""The table of verbs."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from runner.domain.answers import Answer
from runner.domain.requests.request import Request

Scope = Literal["machine", "repository", "project"]
"""What a verb needs: nothing but the folder it was asked in; the repository there; that, and a
treedock.yaml without faults."""

Effect = Literal["look", "change", "destroy"]
"""The most that a verb does: nothing; what can be taken back; removing what it may have to refuse
to remove."""


@dataclass(frozen=True)
class Verb:
    """`room` is the module of runner.controller.acts, and of runner.domain.requests, that has it:
    a function named after the verb (' ' and '-' as '_'), which takes what `scope` says, the
    request and the listener."""

    room: str
    request: str
    scope: Scope
    effect: Effect


VERBS = {
    "up": Verb("lifecycle", "Up", "project", "change"),
    "down": Verb("lifecycle", "Down", "repository", "change"),
    "restart": Verb("lifecycle", "Restart", "project", "change"),
    "list": Verb("observe", "List", "repository", "look"),
    "status": Verb("observe", "Status", "project", "look"),
    "logs": Verb("observe", "Logs", "repository", "look"),
    "path": Verb("observe", "Path", "repository", "look"),
    "open": Verb("observe", "Open", "repository", "look"),
    "compose": Verb("observe", "Compose", "project", "look"),
    "clean": Verb("cleanup", "Clean", "repository", "destroy"),
    "exec": Verb("inside", "Exec", "machine", "change"),
    "db reset": Verb("data", "Reset", "project", "destroy"),
    "db url": Verb("data", "Url", "project", "look"),
    "db snapshot": Verb("data", "Keep", "project", "change"),
    "db restore": Verb("data", "Restore", "project", "destroy"),
    "db list": Verb("data", "ListSnapshots", "project", "look"),
    "db drop": Verb("data", "Drop", "project", "destroy"),
    "sync": Verb("sync", "Sync", "repository", "change"),
    "update": Verb("sync", "Update", "repository", "change"),
    "review": Verb("landing", "Look", "repository", "look"),
    "conflicts": Verb("landing", "Compare", "project", "look"),
    "merge": Verb("landing", "Merge", "project", "change"),
    "merge --undo": Verb("landing", "Undo", "project", "change"),
    "pr": Verb("landing", "OpenPullRequest", "repository", "change"),
    "warm": Verb("cache", "Warm", "project", "change"),
    "cache list": Verb("cache", "ListCache", "repository", "look"),
    "cache prune": Verb("cache", "Prune", "repository", "destroy"),
    "init": Verb("onboarding", "Init", "repository", "change"),
    "demo": Verb("onboarding", "Demo", "machine", "change"),
    "doctor": Verb("onboarding", "Examine", "machine", "change"),
    "config show": Verb("onboarding", "ShowConfig", "project", "look"),
    "config check": Verb("onboarding", "CheckConfig", "project", "look"),
    "config schema": Verb("onboarding", "ConfigSchema", "machine", "look"),
    "schema json": Verb("onboarding", "JsonSchema", "machine", "look"),
    "version": Verb("onboarding", "Version", "machine", "look"),
}


def request_of(verb: str) -> type[Request[Any]]:
    """The class of a verb's requests."""
    row = VERBS[verb]
    module = importlib.import_module(f"runner.domain.requests.{row.room}")
    return cast(type[Request[Any]], getattr(module, row.request))


def act_of(verb: str) -> Callable[..., Answer]:
    """The function that carries a verb out."""
    module = importlib.import_module(f"runner.controller.acts.{VERBS[verb].room}")
    name = verb.replace(" --", "_").replace(" ", "_")
    act = getattr(module, name, None) or getattr(module, f"{name}_")
    return cast(Callable[..., Answer], act)
