"""treedock.yaml as a picture: every key, its type, its default, and what it is for.

The text under a field is its documentation: `treedock config schema` prints it.
"""

import ast
import inspect
import re
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path as File
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from runner.domain.cache.produces import folders_of, overlap
from runner.domain.config.wrong_value import wrong_value
from runner.domain.errors import ConfigError
from runner.domain.instance.environment import one_argument, values_of
from runner.domain.instance.ports import PortRange
from runner.domain.sizes import format_size as format_size
from runner.domain.sizes import parse_size as parse_size
from runner.domain.text import below_each_other, sentences


def _parse_range(value: object) -> PortRange:
    if isinstance(value, PortRange):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a port range such as 9100-9114")
    return PortRange.parse(value)


def relative_path(text: str) -> str:
    """A path that stays inside the checkout, as written. Raises ValueError otherwise."""
    path = PurePosixPath(text)
    if not text or "\0" in text or path.is_absolute() or ".." in path.parts or text[0] == "~":
        raise ValueError(f"{text!r} leaves the checkout; paths are relative and stay inside")
    if path.parts[:1] == (".git",):
        raise ValueError(f"{text!r} lies in the git directory")
    return str(path)


def relative_file(text: str) -> str:
    """The same, for what cannot be the checkout itself."""
    if relative_path(text) == ".":
        raise ValueError(f"{text!r} is the checkout itself")
    return relative_path(text)


def _trees_inside(text: str) -> str:
    try:
        return relative_file(text)
    except ValueError as error:
        own = "only your own ~/.config/treedock/config.yaml may put worktrees elsewhere"
        raise ValueError(f"{error}; {own}") from error


def _one_line(text: str) -> str:
    if "\n" in text or "\0" in text:
        raise ValueError("has to fit on one line")
    return one_argument(text)


def _branch_pattern(text: str) -> str:
    if text.count("{id}") != 1 or not re.fullmatch(r"[A-Za-z0-9._/{}-]+", text):
        raise ValueError(f"{text!r} needs {{id}} once, and else only letters, digits, . _ / -")
    if re.search(r"(^|/)[.-]|\.\.|//|\.lock(/|$)|/$|^/|\.$|@\{", text):
        raise ValueError(f"{text!r} is not a name that git allows for a branch")
    return text


def _trees_anywhere(text: str) -> str:
    if not text or re.search(r"[\0\n]", text):
        raise ValueError("has to be a path on one line")
    if re.search(r"[{}]", text.replace("{project}", "")):
        raise ValueError(f"{text!r}: only {{project}} is filled in")
    if text.startswith("~"):
        raise ValueError(f"{text!r}: write the path out, or relative to the checkout")
    return text


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["512m", "2g"]}),
]
Range = Annotated[
    PortRange,
    BeforeValidator(_parse_range),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+-\d+$", "examples": ["9100-9114"]}),
]
Path = Annotated[str, AfterValidator(relative_path)]
FilePath = Annotated[str, AfterValidator(relative_file)]
Line = Annotated[str, AfterValidator(_one_line)]
Pattern = Annotated[str, AfterValidator(_one_line), AfterValidator(relative_path)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Command = Annotated[str, Field(min_length=1), AfterValidator(one_argument)]


class Model(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        defer_build=True,  # what Config contains is built once, inside it
        populate_by_name=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )


class Build(Model):
    context: Path = "."
    """Folder whose committed files are the build context."""
    dockerfile: Path = "Dockerfile"
    """The Dockerfile, relative to the context."""
    args: dict[str, str] = {}
    """Build arguments."""


class Image(Model):
    name: str | None = None
    """An image of a registry or of this engine, e.g. `python:3.12`."""
    build: Build | None = None
    """Build the image from a Dockerfile of the project."""

    @model_validator(mode="after")
    def _exactly_one(self) -> "Image":
        if (self.name is None) == (self.build is None):
            raise ValueError("needs either `name` or `build`")
        return self


class Env(Model):
    copy_: list[FilePath] = Field(default=[".env", ".env.local"], alias="copy")
    """Ignored files copied from the main checkout into a new instance, of a folder those in it.
    Missing ones are skipped. Of a link the content is taken. Files that match a pattern in
    `.worktreeinclude` are copied too."""
    rewrite: list[FilePath] = []
    """Files that are copied as well, in which the main checkout's absolute path becomes the
    instance's worktree. That path leads there inside, too."""
    set_: dict[Variable, Line] = Field(default={}, alias="set")
    """Variables for the app. `${BACKEND_PORT}` and the like are filled in."""

    @property
    def copied(self) -> list[str]:
        """Everything that is copied, each path once."""
        return list(dict.fromkeys([*self.copy_, *self.rewrite]))

    def is_rewritten(self, name: str) -> bool:
        """Whether a copied file is one of `rewrite`, or lies in a folder of it."""
        return any(name == one or name.startswith(f"{one}/") for one in self.rewrite)


class Step(Model):
    run: Command
    """Shell command, run inside the instance."""
    folder: Path = Field(default=".", alias="in")
    """Folder to run it in."""
    produces: list[FilePath] | None = None
    """Folders that it makes, relative to `in`. What a clean run on base made is kept, and new
    instances start with it instead of running the step. Known for a plain call of uv, pip,
    poetry, npm, pnpm, bun or yarn with a lock file that copies nothing else of the checkout;
    `[]` keeps nothing."""
    key: list[FilePath] = []
    """Files that decide what it makes, e.g. a lock file, relative to `in`. Files that the run line
    names always do."""
    visible: bool = False
    """Put a copy of what it makes into the worktree of a new instance, where editors on the host
    see it, instead of mounting it."""

    @model_validator(mode="after")
    def _has_a_key(self) -> "Step":
        if bool(self.produces) != bool(self.key):
            raise ValueError("`produces` and `key` need each other")
        return self


class Ready(Model):
    http: str | None = Field(default=None, pattern=r"^/[!-~]*$")
    """Path that has to answer in plain HTTP with a status below 500. A service that answers with an
    error for 5 seconds counts as failed, unless it is 502, 503 or 504. Without a path a TCP
    connection is enough."""
    timeout: float = Field(default=60, gt=0, le=3600)
    """Seconds until a service that is not ready counts as failed."""


class Service(Model):
    run: Command
    """Shell command that serves the port. It has to listen on 0.0.0.0, not on 127.0.0.1."""
    folder: Path = Field(default=".", alias="in")
    """Folder to run it in."""
    port: Name | None = None
    """The name under `ports` that it serves; without one there is nothing to wait for."""
    ready: Ready = Ready()
    """When the service counts as ready."""
    restart: Literal["no", "on-failure"] = "no"
    """`on-failure` starts it again after a non-zero exit, 5 times at most."""


class Database(Model):
    engine: Literal["sqlite", "postgres", "command"] = "sqlite"
    """`sqlite` for a database file, `postgres` for one in a sidecar; `command` when only the reset
    command knows."""
    path: FilePath | None = None
    """The database file of `sqlite`. It never shows in `git status`."""
    sidecar: Name | None = None
    """The sidecar that holds the database; by default the one named like the engine."""
    name: Line | None = None
    """The database's name there; by default the sidecar's POSTGRES_DB."""
    reset: Command | None = None
    """Shell command that makes the database anew. It runs once for a new instance."""
    folder: Path = Field(default=".", alias="in")
    """Folder to run the reset command in."""
    inputs: list[Pattern] = []
    """Files that make the data, as git's globs (`migrations/**`): while none of them changes, a
    reset comes from the golden state. Files that the reset names always count. By default those of
    Alembic, Django and Prisma; all files where none of them is used."""

    @property
    def beside(self) -> str:
        """The name of the sidecar that holds the database."""
        return self.sidecar or self.engine


class SidecarReady(Model):
    tcp: int | None = Field(default=None, ge=1, le=65535)
    """Port that has to listen. treedock's own images know theirs."""
    timeout: float = Field(default=60, gt=0, le=3600)
    """Seconds until a sidecar that is not ready counts as failed."""


class Sidecar(Model):
    """A container beside the instance's, in its network namespace: the app finds it on localhost,
    as Compose's words describe it."""

    image: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")
    """`postgres` and `redis` are treedock's own images; a name with a tag, a digest or a slash
    (`postgres:16`, `axllent/mailpit`) is a registry's."""
    env: dict[Variable, Line] = {}
    """Environment of the sidecar, e.g. POSTGRES_PASSWORD."""
    command: Command | list[str] | None = None
    """Arguments instead of the image's own; one text is split as a shell would."""
    volume: str | None = Field(default=None, pattern=r"^/[^:]+$")
    """Folder of the sidecar whose content stays while the instance lives. treedock's own images
    know theirs."""
    ready: SidecarReady = SidecarReady()
    """When the sidecar counts as ready."""
    publish: Name | None = None
    """The name under `ports` at which the host reaches it, e.g. for a database client. Without
    one nothing outside of the instance does."""

    @model_validator(mode="after")
    def _is_known(self) -> "Sidecar":
        if _is_bare(self.image) and self.image not in OWN_SIDECARS:
            known = " and ".join(OWN_SIDECARS)
            raise ValueError(
                f"image: {self.image!r} is not one of treedock's own ({known}); "
                f"a registry's has a tag: {self.image}:latest"
            )
        if self.publish and self.port is None:
            raise ValueError("publish needs ready: {tcp: PORT}, the port that is published")
        return self

    @property
    def is_own(self) -> bool:
        """Whether it runs an image of treedock's own."""
        return self.image in OWN_SIDECARS

    @property
    def port(self) -> int | None:
        """The port it listens on, as far as that is known."""
        own = OWN_SIDECARS.get(self.image)
        return self.ready.tcp or (own[0] if own else None)

    @property
    def data(self) -> str | None:
        """The folder that is kept in a volume."""
        own = OWN_SIDECARS.get(self.image)
        return self.volume or (own[1] if own else None)


OWN_SIDECARS = {
    "postgres": (5432, "/var/lib/postgresql/data"),
    "redis": (6379, "/data"),
}
"""Images of treedock's own: (port, folder of the data)."""


def _is_bare(image: str) -> bool:
    """A name without a tag, a digest or a registry."""
    return not re.search(r"[/:@]", image)


class Limits(Model):
    instances: int = Field(default=15, ge=1, le=500)
    """How many instances the repository may have."""
    memory: Size = Field(default=2 * 2**30, ge=16 * 2**20)
    """Memory of one instance; no swap on top."""
    cpus: float = Field(default=2, gt=0, le=1024, allow_inf_nan=False)
    """Processor cores of one instance."""
    pids: int = Field(default=512, ge=16, le=100_000)
    """Processes and threads of one instance."""
    bundle: Size = Field(default=2**30, gt=0)
    """Size of what one sync may bring out of an instance, packed and unpacked."""
    cache: Size = Field(default=20 * 2**30, ge=0)
    """Size of all snapshots together; the least recently used go first, never one in use."""
    disk_free: Size = Field(default=2 * 2**30, ge=0)
    """Free disk space below which nothing new is started."""
    stale_days: float = Field(default=14, gt=0)
    """Days after which an instance counts as stale."""
    archive_days: float = Field(default=14, gt=0, le=36500)
    """Days for which the logs of a cleaned instance stay, and what was forced away with it."""
    archive: Size = Field(default=2**30, ge=0)
    """Size of the ignored files that `clean --keep-ignored` may keep of one instance."""


class Git(Model):
    hooks: Literal["none", "copy"] = "none"
    """`copy` puts the executable hooks pre-commit, prepare-commit-msg and commit-msg of the main
    repository's .git/hooks into each instance. What they call has to be in the image."""


class Network(Model):
    ca: Literal["auto", "host", "none"] = "auto"
    """Certificate authorities inside: `host` copies the host's bundle into builds and instances,
    `auto` does so where the host sets SSL_CERT_FILE or the like, `none` leaves images alone."""


class HostMount(Model):
    source: str
    """Absolute path on the host."""
    target: str
    """Absolute path in the container."""
    read_only: bool = True


class Sandbox(Model):
    """What weakens the sandbox. Read from the user's own configuration only."""

    mounts: list[HostMount] = []
    """Extra host folders or files."""
    capabilities: list[str] = []
    """Linux capabilities given back, e.g. SYS_PTRACE."""
    publish: str = "127.0.0.1"
    """Host address that ports are published on."""


class Gate(Model):
    """A command that has to pass before a branch may land."""

    run: Command
    """Shell command, run inside a throwaway instance of the candidate."""
    folder: Path = Field(default=".", alias="in")
    """Folder to run it in."""
    services: bool = False
    """Whether it needs the project's services to run."""
    timeout: float = Field(default=1800, gt=0)
    """Seconds until it counts as red."""
    outside: bool = False
    """Judge from outside: it runs before everything else, in a fresh container in which nothing
    of the candidate has run, with the tree read-only and without what set-up installs."""

    @model_validator(mode="after")
    def _fits_outside(self) -> "Gate":
        if self.outside and self.services:
            raise ValueError("`outside` and `services` exclude each other")
        return self


class Merge(Model):
    retries: int = Field(default=3, ge=0)
    """How often to build and test again when base moves meanwhile."""
    width: int = Field(default=4, ge=1)
    """How many candidates are tested at once."""


class Config(Model):
    """The whole of treedock.yaml."""

    version: Literal[1] = 1
    """Version of this format."""
    name: Name | None = None
    """The project's name; the checkout folder's by default. Slots are hashed from it."""
    base: str | None = None
    """Branch that instances start from and land in. By default the branch of
    origin/HEAD, else main, else the only branch."""
    worktrees: Annotated[str, AfterValidator(_trees_inside)] = "trees"
    """Folder of the worktrees; kept out of git by .git/info/exclude. Only a person's own
    configuration may put it beside the checkout."""
    branch: Annotated[str, AfterValidator(_branch_pattern)] = "feature/{id}"
    """Name of an instance's branch."""
    image: str | Image = "fullstack"
    """`fullstack` is treedock's own image; or `{name: ...}`, or `{build: ...}`."""
    ports: dict[Name, Range] = {
        "backend": PortRange(9100, 9114),
        "frontend": PortRange(9200, 9214),
    }
    """Port ranges of equal length, one port of each for every slot."""
    overflow: Literal["refuse", "dynamic"] = "dynamic"
    """With all slots taken (all projects of a machine share them): take any free ports, which the
    instance keeps, or refuse."""
    env: Env = Env()
    """Environment files and variables."""
    git: Git = Git()
    """git inside."""
    setup: list[Step] = []
    """Commands that install what the project needs, in order."""
    verify: Command | None = None
    """Smoke test after set-up."""
    services: dict[Name, Service] = {}
    """Processes of the instance."""
    sidecars: dict[Name, Sidecar] = {}
    """Databases, caches and the like, each in a container of its own beside the instance's."""
    database: Database | None = None
    """The instance's own database."""
    test: Command | None = None
    """Command that tests the project. The first gate of a merge."""
    gates: list[Gate] = []
    """More commands that have to pass at a candidate before it may land."""
    merge: Merge = Merge()
    """How branches come back into base."""
    limits: Limits = Limits()
    """Upper bounds, so that one instance cannot starve the others or the host."""
    network: Network = Network()
    """What an instance may need of the host's network set-up."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Config":
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
        return self

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


class UserConfig(Model):
    """~/.config/treedock/config.yaml: what only the person at this machine may decide."""

    sandbox: Sandbox = Sandbox()
    """What weakens the sandbox."""
    worktrees: Annotated[str, AfterValidator(_trees_anywhere)] | None = None
    """Folder of the worktrees instead of each project's own, relative to the checkout or absolute;
    `{project}` is the project's name: `../{project}-trees`. Existing instances stay."""


def schema() -> dict[str, Any]:
    """The JSON Schema of treedock.yaml, with the text under each field as its description."""
    whole = Config.model_json_schema(by_alias=True)
    models = {"Config": whole, **whole["$defs"]}
    for name, fields in _documentation().items():
        for field, text in fields.items():
            models.get(name, {}).get("properties", {}).get(field, {})["description"] = text
    return whole


def _documentation() -> dict[str, dict[str, str]]:
    """The string under each field of each model, by the field's key in YAML.

    Read from this file when it is asked for: pydantic's own way of doing it
    (use_attribute_docstrings) reads it at every start, which takes 40 ms.
    """
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(File(__file__).read_text()).body:
        if isinstance(node, ast.ClassDef) and issubclass(globals()[node.name], Model):
            fields = globals()[node.name].model_fields
            found[node.name] = {
                fields[field.target.id].alias or field.target.id: inspect.cleandoc(
                    str(text.value.value)
                )
                for field, text in pairwise(node.body)
                if isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            }
    return found


def validate(data: object, where: str) -> Config:
    """A configuration from what YAML gave. Raises ConfigError, naming the key and `where`."""
    return _validated(Config, {} if data is None else data, where)


def validate_user(data: object, where: str) -> UserConfig:
    """The same for the user's own configuration."""
    return _validated(UserConfig, {} if data is None else data, where)


_Any = TypeVar("_Any", bound=Model)


def _validated(model: type[_Any], data: object, where: str) -> _Any:
    if not isinstance(data, dict):
        raise ConfigError(f"{where} has to hold keys and values at its top.", hint=_HELP)
    if model is Config and "sandbox" in data:
        raise ConfigError(
            f"{where}: sandbox: keys that weaken the sandbox are read from your own "
            "configuration only, never from a repository.",
            hint="Move `sandbox:` to ~/.config/treedock/config.yaml.",
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [dict(problem) for problem in error.errors()]
        meant = [problem for problem in problems if not _is_other_branch(problem)]
        sentences = [_sentence(model, problem) for problem in meant]
        faults = below_each_other(*(f"{where}: {text}" for text in sentences))
        raise ConfigError(faults, hint=_HELP) from None


_HELP = "treedock config schema prints every key with its meaning."


def _sentence(model: type[Model], problem: dict[str, Any]) -> str:
    """One validation problem as 'services.backend.redy: unknown key; did you mean `ready`?'."""
    steps = [step for step in problem["loc"] if not _is_union_tag(step)]
    if problem["type"] == "string_type" and "[key]" in problem["loc"]:
        problem = {**problem, "type": "invalid_key"}
    if problem["type"] == "invalid_key":
        del steps[-1]  # it is the key itself, which may be no text
    path = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).lstrip(".")
    if problem["type"] == "extra_forbidden":
        near = get_close_matches(str(steps[-1]), _keys_at(model, steps[:-1]), n=1)
        return f"{path}: unknown key" + (f"; did you mean `{near[0]}`?" if near else "")
    message = wrong_value(problem)
    return f"{path}: {message}" if path else message


def _is_other_branch(problem: dict[str, Any]) -> bool:
    """Of `str | Image`, the try that the kind of value rules out: its problem is none."""
    if problem["loc"][:1] != ("image",) or len(problem["loc"]) != 2:
        return False
    is_mapping = isinstance(problem["input"], dict)
    return is_mapping if problem["loc"][1] == "str" else not is_mapping


def _is_union_tag(step: object) -> bool:
    """pydantic puts the tried member of `str | Image` into the path: 'str', 'Image', ..."""
    return step in ("str", "Image", "[key]") or str(step).startswith("function-")


def _keys_at(model: type[Model], steps: list[Any]) -> list[str]:
    """The keys that the JSON Schema knows below this path."""
    whole = model.model_json_schema(by_alias=True)
    here: dict[str, Any] = whole
    for step in [*steps, None]:
        while "$ref" in here or "anyOf" in here:
            if "anyOf" in here:
                options = [o for o in here["anyOf"] if "$ref" in o or "properties" in o]
                here = options[0] if options else {}
            else:
                here = whole["$defs"][here["$ref"].rpartition("/")[2]]
        if step is None:
            break
        if isinstance(step, int):
            here = here.get("items", {})
        else:
            patterns = list(here.get("patternProperties", {}).values())  # dict[Name, ...]
            others = patterns[0] if patterns else here.get("additionalProperties", {})
            here = here.get("properties", {}).get(step, others)
        here = here if isinstance(here, dict) else {}
    return list(here.get("properties", {}))


def project_name(folder: str) -> str:
    """The default name: the checkout folder's, made to fit [a-z][a-z0-9-]{0,30}."""
    slug = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")
    return (slug if slug[:1].isalpha() else f"p-{slug}")[:31].rstrip("-")
