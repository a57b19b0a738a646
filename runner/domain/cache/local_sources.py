"""What the files of a package manager take from the checkout itself: path dependencies, workspaces,
patches. What a manager copies from there is in no lock file, so such a step is never shared.

Each function returns whether its file is closed: whether lock file and manifest alone decide what
is installed. What cannot be read, or is not known to be closed, is not.
"""

import json
import re
from typing import Any

_REMOTE = r"(?:git\+)?(?:https?|ssh|git)://|git@"
_ARCHIVE = re.compile(r"\.(whl|zip|tar|tgz|tbz|txz|tlz|egg)$|\.tar\.\w+$", re.IGNORECASE)
_REQUIREMENT = re.compile(
    rf"(?P<name>[A-Za-z0-9][\w.-]*)\s*(\[[\w\s,.-]*\])?\s*(@\s*({_REMOTE})\S+.*|[(<>=!~;].*|--hash.*)?"
)
# Build backends of which an editable installation is a link to the sources, and what a project may
# build with: anything else (a compiler, a version from git) copies something of the checkout.
_BACKENDS = frozenset(
    (
        *("hatchling", "uv-build", "flit-core", "poetry-core", "setuptools", "wheel"),
        "pdm-backend",
    )
)
_BUILT_BY = frozenset(("hatch", "setuptools", "pdm", "flit", "poetry"))
# What these copy into the environment, or run, also where they only link.
_COPIED = frozenset(
    (
        *("ext-modules", "script-files", "data-files", "hooks", "shared-data", "shared-scripts"),
        *("force-include", "extra-metadata", "custom-hook", "wheel-data", "external-data"),
        *("reference", "data"),
    )
)
_DEPENDENCIES = (
    *("dependencies", "devDependencies", "optionalDependencies", "peerDependencies"),
    *("overrides", "resolutions", "pnpm"),
)
# The documentation of npm ("package.json", "scripts"): what an installation runs of the project's.
_SCRIPTS = frozenset(
    (
        *("preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare"),
        *("postprepare", "dependencies", "pnpm:devPreinstall"),
    )
)
_LOCAL_SPEC = re.compile(
    r"(file|link|portal|workspace|patch|exec|git\+file):|\.|~?/|[A-Za-z]:[\\/]"
    r"|(?!https?:).*\.(tgz|tar|tar\.gz)$",
    re.IGNORECASE,
)
_LOCAL_IN_LOCK = re.compile(
    rb"\b(file|link|portal|workspace|patch|exec):|\bdirectory: |patchedDependencies"
    rb'|"link"\s*:\s*true|"resolved"\s*:\s*"(?!https?:|git[+:])'
)


def requirements_closed(data: bytes | None) -> bool:
    """Of a requirements file of pip's: names and remote addresses only, no path and no option."""
    text = re.sub(r"\\\r?\n", " ", (b"-" if data is None else data).decode(errors="replace"))
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return all(_is_remote(line) for line in lines if line)


def _is_remote(line: str) -> bool:
    if re.match(_REMOTE, line):
        return True
    named = _REQUIREMENT.fullmatch(line)
    return named is not None and not _ARCHIVE.search(named["name"])


def project_closed(data: bytes | None) -> bool:
    """Of a pyproject.toml whose dependencies are installed, without the project itself."""
    parsed = _toml(data)
    return parsed is not None and _dependencies_closed(parsed)


def editable_closed(data: bytes | None) -> bool:
    """Of a pyproject.toml whose project is installed too, as a link to its sources."""
    parsed = _toml(data)
    return parsed is not None and _dependencies_closed(parsed) and _is_linked(parsed)


def uv_lock_closed(data: bytes | None) -> bool:
    """Of uv.lock: everything but the project itself comes from elsewhere."""
    text = (data or b"").decode(errors="replace")
    known = rf'{{ (?:(?:editable|virtual) = "\."|(?:registry|url|git) = "(?:{_REMOTE})[^"]*")'
    return all(re.match(known, rest) for rest in re.findall(r"^source = (.*)$", text, re.MULTILINE))


def poetry_lock_closed(data: bytes | None) -> bool:
    """The same of poetry.lock."""
    return not re.search(rb'^type = "(directory|file)"|"file:', data or b"", re.MULTILINE)


def package_closed(data: bytes | None) -> bool:
    """Of a package.json: no path, no workspace, no patch, and no script that an installation runs.
    Prisma's installation makes code of the project's schema."""
    try:
        package = json.loads(data or b"{}")
    except ValueError:
        return False
    if not isinstance(package, dict):
        return False
    if package.keys() & {"workspaces", "patchedDependencies"} or _scripts(package) & _SCRIPTS:
        return False
    specs = [spec for key in _DEPENDENCIES for spec in _specs(package.get(key))]
    return not any(
        name in ("patchedDependencies", "prisma", "@prisma/client") or _LOCAL_SPEC.match(value)
        for name, value in specs
    )


def node_lock_closed(data: bytes | None) -> bool:
    """Of a lock file of npm, pnpm, yarn or bun."""
    return not _LOCAL_IN_LOCK.search(data or b"")


def npmrc_closed(data: bytes | None) -> bool:
    """Of an .npmrc: it names nothing of the checkout. Addresses begin with a scheme or `//`, and
    what begins with `/` elsewhere is the image's."""
    named = rb"(global-)?(pnpmfile|userconfig|globalconfig)\s*=|[^=]+=\s*(\.|/workspace|\w[\w.-]*/)"
    return not re.search(rb"(?im)^\s*(%s)" % named, data or b"")


def yarnrc_closed(data: bytes | None) -> bool:
    """Of an .yarnrc of yarn 1: it names no yarn of the checkout, no archives and no options."""
    return not re.search(rb"yarn-path|mirror|--", data or b"")


def uv_settings_closed(data: bytes | None) -> bool:
    """Of an uv.toml: the same keys as below [tool.uv]."""
    parsed = _toml(data)
    return parsed is not None and _dependencies_closed({"tool": {"uv": parsed}})


def setup_closed(data: bytes | None) -> bool:
    """Of a setup.cfg: it says nothing about what is built."""
    return not re.search(rb"(?m)^\[(options|files|extension|build_ext|entry_points)", data or b"")


def _scripts(package: dict[str, Any]) -> set[str]:
    scripts = package.get("scripts")
    return set(scripts) if isinstance(scripts, dict) else set()


def _specs(value: Any, name: str = "") -> list[tuple[str, str]]:
    """(name, what is asked for) at any depth: overrides are nested."""
    if not isinstance(value, dict):
        return [(name, value)] if isinstance(value, str) else []
    inner = [pair for key, below in value.items() for pair in _specs(below, key)]
    return [(name, ""), *inner]


def _toml(data: bytes | None) -> dict[str, Any] | None:
    import tomllib

    try:
        return tomllib.loads((data or b"").decode())
    except ValueError:
        return None


def _dependencies_closed(parsed: dict[str, Any]) -> bool:
    """uv's documentation ('Dependency sources'), poetry's ('path dependencies') and PEP 508."""
    uv, poetry = (_table(_table(parsed, "tool"), name) for name in ("uv", "poetry"))
    project = _table(parsed, "project")
    if "workspace" in uv or "dependencies" in project.get("dynamic", ()):
        return False
    named = [project.get("dependencies"), project.get("optional-dependencies")]
    named += [parsed.get("dependency-groups"), uv.get("dev-dependencies")]
    if any("file:" in text or "{root" in text for text in _texts(named)):
        return False
    links = [uv.get(key) for key in ("find-links", "index")]
    links += [_table(uv, "pip").get("find-links")]
    if any(not re.match(_REMOTE, text) for text in _texts(links, only="url")):
        return False
    sources = [uv.get("sources"), poetry.get("dependencies"), poetry.get("dev-dependencies")]
    return not any(_leads_here(one) for one in (*sources, poetry.get("group")))


def _is_linked(parsed: dict[str, Any]) -> bool:
    """Whether installing the project itself copies nothing of it, or nothing of it is installed."""
    build, tool = _table(parsed, "build-system"), _table(parsed, "tool")
    settings = {key: value for key, value in tool.items() if key in _BUILT_BY}
    settings["uv"] = _table(_table(tool, "uv"), "build-backend")
    if _keys(settings) & _COPIED or "build" in _table(tool, "poetry"):
        return False
    wanted = [re.split(r"[^\w.-]", text)[0] for text in _texts(build.get("requires"))]
    known = {re.sub(r"[-_.]+", "-", name).lower() for name in wanted} <= _BACKENDS
    dynamic = build and _table(parsed, "project").get("dynamic")
    return known and not (dynamic or "backend-path" in build)


def _keys(value: Any) -> set[str]:
    """The keys of tables at any depth."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return set()
    return {str(key) for key in value}.union(*map(_keys, value.values()))


def _leads_here(value: Any) -> bool:
    """Whether a table of dependencies has one with a path, or of the workspace, at any depth."""
    if isinstance(value, list):
        return any(map(_leads_here, value))
    if not isinstance(value, dict):
        return False
    here = any(isinstance(value.get(key), (str, bool)) for key in ("path", "workspace"))
    remote = [value.get(key) for key in ("url", "git") if isinstance(value.get(key), str)]
    local = any(not re.match(_REMOTE, str(text)) for text in remote)
    return here or local or any(_leads_here(below) for below in value.values())


def _texts(value: Any, only: str = "") -> list[str]:
    """All strings below a value of TOML; of tables those of the key `only`, if it is given."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = [below for key, below in value.items() if only in ("", key)]
    return (
        [text for below in value for text in _texts(below, only)] if isinstance(value, list) else []
    )


def _table(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}
