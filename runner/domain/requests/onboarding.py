"""init, demo, doctor, config show, config schema, config check, schema json, version."""

from dataclasses import field
from typing import Any

from runner.domain.answers import Answer
from runner.domain.config.value import Value
from runner.domain.frozen import dataclass
from runner.domain.instance.health import Finding
from runner.domain.requests.request import Request


@dataclass(frozen=True, kw_only=True)
class Written(Answer):
    path: str = ""
    """The file or folder that was written."""
    found: tuple[str, ...] = ()
    """What was found in the repository, as sentences."""


@dataclass(frozen=True, kw_only=True)
class Init(Request[Written]):
    """Look at the repository and write a treedock.yaml for it."""

    verb = "init"

    force: bool = False
    """Replace a treedock.yaml that is there."""


@dataclass(frozen=True, kw_only=True)
class Demo(Request[Written]):
    """Copy the demo project into a folder, as a repository of its own."""

    verb = "demo"

    folder: str
    """Where to; relative to where we stand."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis(Answer):
    findings: tuple[Finding, ...] = ()
    """What each check found."""

    @property
    def exit_code(self) -> int:
        """5 where there is a problem that is not fixed."""
        bad = any(one.status == "problem" and not one.fixed for one in self.findings)
        return super().exit_code or (5 if bad else 0)


@dataclass(frozen=True, kw_only=True)
class Examine(Request[Diagnosis]):
    """Check this machine and the repository; each finding has a way out."""

    verb = "doctor"

    fix: bool = False
    """Take the way out where that is safe."""


@dataclass(frozen=True, kw_only=True)
class Values(Answer):
    values: tuple[Value, ...] = ()
    """Every effective value of the configuration."""


@dataclass(frozen=True, kw_only=True)
class ShowConfig(Request[Values]):
    """Find every effective value and where it came from."""

    verb = "config show"


@dataclass(frozen=True, kw_only=True)
class Schemas(Answer):
    schemas: dict[str, Any] = field(default_factory=dict)
    """JSON Schemas by the name of the document that they describe."""


@dataclass(frozen=True, kw_only=True)
class ConfigSchema(Request[Schemas]):
    """Make the JSON Schema of treedock.yaml."""

    verb = "config schema"


@dataclass(frozen=True, kw_only=True)
class JsonSchema(Request[Schemas]):
    """Make the JSON Schema of what --json prints."""

    verb = "schema json"

    verbs: tuple[str, ...] = ()
    """Of which verbs; without any of all."""


@dataclass(frozen=True, kw_only=True)
class Checked(Answer):
    name: str = ""
    """The project."""
    warnings: tuple[str, ...] = ()
    """What is allowed and probably not meant."""


@dataclass(frozen=True, kw_only=True)
class CheckConfig(Request[Checked]):
    """Check treedock.yaml, and that base has what it names, without doing anything."""

    verb = "config check"


@dataclass(frozen=True, kw_only=True)
class Versions(Answer):
    version: str = ""
    """Of treedock."""


@dataclass(frozen=True, kw_only=True)
class Version(Request[Versions]):
    """Find the version."""

    verb = "version"
