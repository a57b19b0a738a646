"""treedock.yaml and the person's own file as a whole, and what in them has to fit together."""

import re
from dataclasses import field
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Literal

from runner.domain.cache.produces import folders_of, overlap
from runner.domain.config.sections import (
    Database,
    Env,
    Gate,
    Git,
    Image,
    Limits,
    Merge,
    Network,
    Sandbox,
    Section,
    Service,
    Sidecar,
    Step,
)
from runner.domain.config.values import (
    After,
    Command,
    Name,
    Range,
    branch_pattern,
    trees_anywhere,
    trees_inside,
)
from runner.domain.errors import ConfigError
from runner.domain.frozen import dataclass
from runner.domain.instance.environment import values_of
from runner.domain.instance.ports import PortRange
from runner.domain.text import sentences


@dataclass(frozen=True)
class Config(Section):
    """The whole of treedock.yaml."""

    version: Literal[1] = 1
    """Version of this format."""
    name: Name | None = None
    """The project's name; the checkout folder's by default. Slots are hashed from it."""
    base: str | None = None
    """Branch that instances start from and land in. By default the branch of
    origin/HEAD, else main, else the only branch."""
    worktrees: Annotated[str, After(trees_inside)] = "trees"
    """Folder of the worktrees; kept out of git by .git/info/exclude. Only a person's own
    configuration may put it beside the checkout."""
    branch: Annotated[str, After(branch_pattern)] = "feature/{id}"
    """Name of an instance's branch."""
    image: str | Image = "fullstack"
    """`fullstack` is treedock's own image; or `{name: ...}`, or `{build: ...}`."""
    ports: dict[Name, Range] = field(
        default_factory=lambda: {
            "backend": PortRange(9100, 9114),
            "frontend": PortRange(9200, 9214),
        }
    )
    """Port ranges of equal length, one port of each for every slot."""
    overflow: Literal["refuse", "dynamic"] = "dynamic"
    """With all slots taken (all projects of a machine share them): take any free ports, which the
    instance keeps, or refuse."""
    env: Env = field(default_factory=Env)
    """Environment files and variables."""
    git: Git = field(default_factory=Git)
    """git inside."""
    setup: list[Step] = field(default_factory=list)
    """Commands that install what the project needs, in order."""
    verify: Command | None = None
    """Smoke test after set-up."""
    services: dict[Name, Service] = field(default_factory=dict)
    """Processes of the instance."""
    sidecars: dict[Name, Sidecar] = field(default_factory=dict)
    """Databases, caches and the like, each in a container of its own beside the instance's."""
    database: Database | None = None
    """The instance's own database."""
    test: Command | None = None
    """Command that tests the project. The first gate of a merge."""
    gates: list[Gate] = field(default_factory=list)
    """More commands that have to pass at a candidate before it may land."""
    merge: Merge = field(default_factory=Merge)
    """How branches come back into base."""
    limits: Limits = field(default_factory=Limits)
    """Upper bounds, so that one instance cannot starve the others or the host."""
    network: Network = field(default_factory=Network)
    """What an instance may need of the host's network set-up."""

    def __post_init__(self) -> None:
        _ranges_fit(self.ports)
        _values_fit(self)
        for name, service in self.services.items():
            if service.port is not None and service.port not in self.ports:
                known = ", ".join(self.ports)
                raise ValueError(f"services.{name}.port: {service.port!r} is not one of {known}")
        _sidecars_fit(self)
        _database_fits(self)
        _products_fit(self)
        if isinstance(self.image, str) and self.image != "fullstack":
            raise ValueError(
                f"image: {self.image!r} is not one of treedock's; write {{name: {self.image}}}"
            )

    @property
    def lines(self) -> list[str]:
        """Every command line of the project's own."""
        database = self.database.reset if self.database else None
        found = [step.run for step in self.setup] + [one.run for one in self.services.values()]
        found += [gate.run for gate in self.gates]
        return found + [line for line in (self.verify, database, self.test) if line]

    @property
    def slots(self) -> int:
        return len(next(iter(self.ports.values())))


def _values_fit(config: Config) -> None:
    beside = {sidecar.publish for sidecar in config.sidecars.values()}
    ports = {name: 0 for name in config.ports if name not in beside}
    own = values_of("", ports, {})
    for key in config.env.set_:
        if key in own:
            raise ValueError(f"env.set.{key}: this one is treedock's to set")
    try:
        values_of("", ports, config.env.set_)
    except ConfigError as error:
        raise ValueError(sentences(error.message, error.hint)) from None


def _database_fits(config: Config) -> None:
    database = config.database
    if database and database.engine == "postgres" and database.beside not in config.sidecars:
        there = get_close_matches(database.beside, config.sidecars, n=1, cutoff=0)
        raise ValueError(
            f"database.sidecar: there is no sidecar {database.beside!r}; "
            + (
                f"did you mean `sidecar: {there[0]}`?"
                if there
                else f"add one, e.g. sidecars: {{{database.beside}: {{image: postgres}}}}"
            )
        )


def _products_fit(config: Config) -> None:
    taken: dict[str, int] = {}
    for at, step in enumerate(config.setup):
        for path in folders_of(step) if step.produces else ():
            other = next((name for name in taken if overlap(name, path)), None)
            if other is not None:
                raise ValueError(
                    f"setup[{at}].produces: setup[{taken[other]}] produces {other!r} already"
                )
            taken[path] = at


def _sidecars_fit(config: Config) -> None:
    published: dict[str, str] = {}
    taken = {service.port: name for name, service in config.services.items() if service.port}
    for name, sidecar in config.sidecars.items():
        where = f"sidecars.{name}"
        if name in config.services:
            raise ValueError(f"{where}: there is a service of that name")
        if sidecar.publish is None:
            continue
        if sidecar.publish not in config.ports:
            known = ", ".join(config.ports)
            raise ValueError(f"{where}.publish: {sidecar.publish!r} is not one of {known}")
        other = taken.get(sidecar.publish) or published.get(sidecar.publish)
        if other:
            raise ValueError(f"{where}.publish: {sidecar.publish!r} is the port of {other}")
        published[sidecar.publish] = name


def _ranges_fit(ports: dict[str, PortRange]) -> None:
    if not ports:
        raise ValueError("ports: at least one range is needed")
    if len({len(ports_) for ports_ in ports.values()}) > 1:
        sizes = ", ".join(f"{name} has {len(ports_)}" for name, ports_ in ports.items())
        raise ValueError(f"ports: the ranges differ in length: {sizes}")
    ordered = sorted(ports.items(), key=lambda item: item[1].first)
    for (one, first), (two, second) in pairwise(ordered):
        if second.first <= first.last:
            raise ValueError(f"ports: {one} {first} and {two} {second} overlap")


@dataclass(frozen=True)
class UserConfig(Section):
    """~/.config/treedock/config.yaml: what only the person at this machine may decide."""

    sandbox: Sandbox = field(default_factory=Sandbox)
    """What weakens the sandbox."""
    worktrees: Annotated[str, After(trees_anywhere)] | None = None
    """Folder of the worktrees instead of each project's own, relative to the checkout or absolute;
    `{project}` is the project's name: `../{project}-trees`. Existing instances stay."""


def project_name(folder: str) -> str:
    """The default name: the checkout folder's, made to fit [a-z][a-z0-9-]{0,30}."""
    slug = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")
    return (slug if slug[:1].isalpha() else f"p-{slug}")[:31].rstrip("-")
