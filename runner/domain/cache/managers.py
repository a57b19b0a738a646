"""What package managers make, and what decides it, told from the line that calls them."""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping

from runner.domain.cache import local_sources
from runner.domain.frozen import dataclass

Read = Callable[[str], bytes | None]

VENV, MODULES = ".venv", "node_modules"

# Lock files of Node's managers; the first one that is there decides.
_NODE = {
    "npm": ("package-lock.json", "npm-shrinkwrap.json"),
    "pnpm": ("pnpm-lock.yaml",),
    "bun": ("bun.lock", "bun.lockb"),
    "yarn": ("yarn.lock",),
}
# Files that they read for themselves, where they are there.
_SETTINGS = {
    "npm": (".npmrc",),
    "pnpm": (".npmrc",),
    "bun": (".npmrc", "bunfig.toml"),
    "yarn": (".npmrc", ".yarnrc"),
    "uv": ("uv.toml", ".python-version"),
    "poetry": ("poetry.toml",),
}
_NODE_INSTALLS = {"npm": ("ci", "install", "i"), "yarn": ("install", None)}
# With these it goes somewhere else, or somewhere more.
_ELSEWHERE = frozenset(
    [
        *("-g", "--global", "-C", "--prefix", "--cwd", "--dir", "--project", "--directory"),
        *("--active", "--target", "-t", "--user", "--root", "--system", "--recursive", "-r"),
        *("--all-packages", "--package", "--modules-folder", "--no-lockfile"),
        "--no-package-lock",
    ]
)
_WITH_VALUE = frozenset(
    ("--extra", "--group", "--python", "-p", "--only-group", "--no-group", "--with", "--store-dir")
)


# Where they keep what they downloaded, below the home folder: their documented defaults, and for
# pnpm, whose default is the top of the file system, where `treedock init` puts it.
_DOWNLOADS = {
    "npm": ".npm",
    "npx": ".npm",
    "pnpm": ".pnpm-store",
    "yarn": ".cache/yarn",
    "bun": ".bun/install/cache",
    "uv": ".cache/uv",
    "uvx": ".cache/uv",
    "pip": ".cache/pip",
    "pip3": ".cache/pip",
    "poetry": ".cache/pypoetry",
}


@dataclass(frozen=True)
class Inferred:
    """What a line makes and which files decide that. Not `closed`: it also copies something of
    the checkout that these files do not tell."""

    folders: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    closed: bool = True


_NOTHING = Inferred()


def _calls(line: str) -> list[list[str]] | None:
    """The words of each command of 'a && b'; None where a shell would do more than that."""
    line = line.replace("$HOME", "HOME")
    if re.search(r"[`$\n\\*?~#]", line):
        return None
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    calls: list[list[str]] = [[]]
    try:
        for word in words:
            if word == "&&":
                calls.append([])
            elif set(word) <= set("();<>|&"):
                return None
            else:
                calls[-1].append(word)
    except ValueError:
        return None
    return [_bare(call) for call in calls]


def _bare(words: list[str]) -> list[str]:
    """A call without what fetches the manager first: `npx --yes pnpm@9`, `uvx --from ...`."""
    if words[:1] == ["POETRY_VIRTUALENVS_IN_PROJECT=true"]:
        words = words[1:]
    if words[:2] == ["uvx", "--from"] and words[3:4] == ["poetry"]:
        return words[3:]
    if words[:1] == ["npx"]:
        words = words[2:] if words[1:2] in (["--yes"], ["-y"]) else words[1:]
    name, at, _ = words[0].partition("@") if words else ("", "", "")
    return [name, *words[1:]] if at and name in _NODE else words


def inferred(line: str, read: Read) -> Inferred:
    """What a line makes that does nothing but install."""
    calls = _calls(line)
    if not calls or not all(calls):
        return _NOTHING
    if len(calls) == 1:
        return _of_one(calls[0], read)
    return _of_venv(calls, read)


def _of_one(words: list[str], read: Read) -> Inferred:
    manager, rest = words[0], words[1:]
    if manager in _NODE:
        return _of_node(manager, rest, read)
    verb, options = (rest[0] if rest else ""), rest[1:]
    lock = {("uv", "sync"): "uv.lock", ("poetry", "install"): "poetry.lock"}.get((manager, verb))
    if lock is None or not _is_plain(options):
        return _NOTHING
    is_closed = {
        "uv.lock": local_sources.uv_lock_closed,
        "poetry.lock": local_sources.poetry_lock_closed,
    }
    # The project's own scripts are not in the lock file.
    project = read("pyproject.toml")
    linked = not {"--no-editable", "--no-root"} & set(options)
    fits = local_sources.editable_closed if linked else local_sources.project_closed
    closed = fits(project) and is_closed[lock](read(lock)) and _settings_closed(read)
    closed = closed and not _there(read, ("setup.py", "pdm_build.py", "hatch_build.py"))
    if "--no-editable" in options:
        closed = closed and b"[build-system]" not in (project or b"")
    key = (lock, "pyproject.toml", *_there(read, _SETTINGS[manager]))
    return Inferred((VENV,), key, closed and _names_nothing(options, read))


def _of_node(manager: str, rest: list[str], read: Read) -> Inferred:
    verb = next(iter(rest), None)
    if verb is not None and verb.startswith("-") and manager == "yarn":
        verb, rest = None, ["", *rest]
    if verb not in _NODE_INSTALLS.get(manager, ("install", "i")) or not _is_plain(rest[1:]):
        return _NOTHING
    lock = next((name for name in _NODE[manager] if read(name) is not None), None)
    # With workspaces there are more folders; without node_modules (yarn's PnP) none.
    package = read("package.json") or b""
    several = b'"workspaces"' in package or read("pnpm-workspace.yaml") is not None
    if lock is None or several or (manager == "yarn" and read(".yarnrc.yml") is not None):
        return _NOTHING
    closed = (
        local_sources.package_closed(package)
        and local_sources.node_lock_closed(read(lock))
        and local_sources.npmrc_closed(read(".npmrc"))
        and local_sources.yarnrc_closed(read(".yarnrc"))
        and not _there(read, (".pnpmfile.cjs", ".pnpmfile.mjs", "binding.gyp"))
        and _names_nothing(rest[1:], read)
    )
    return Inferred((MODULES,), (lock, "package.json", *_there(read, _SETTINGS[manager])), closed)


def _there(read: Read, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if read(name) is not None)


def _names_nothing(options: list[str], read: Read) -> bool:
    """Whether no option leads to something of the checkout: `--find-links=./wheels`."""
    values = [part for word in options for part in re.split(r"=", word) if not part.startswith("-")]
    remote = re.compile(r"https?://|HOME/")
    near = [value for value in values if not remote.match(value)]
    return not any("/" in value or value == "." or read(value) is not None for value in near)


def _of_venv(calls: list[list[str]], read: Read) -> Inferred:
    """`python -m venv X && X/bin/pip install -r F`, or `uv venv && uv pip install -r F`."""
    first, *others = calls
    folder = _venv_folder(first)
    if folder is None:
        return _NOTHING
    own_uv = first[0] == "uv"
    own = [["uv", "pip", "install"]] if own_uv else []
    own += [[f"{folder}/bin/{name}", "install"] for name in ("pip", "pip3")]
    own += [[f"{folder}/bin/python", "-m", "pip", "install"]]
    files: list[str] = []
    for words in others:
        start = next((o for o in own if words[: len(o)] == o), None)
        named = _requirements(words[len(start) :]) if start else None
        if not named or not all(read(name) is not None for name in named):
            return _NOTHING
        files += named
    files += _there(read, ("pyproject.toml", *_SETTINGS["uv"])) if own_uv else ()
    closed = all(_is_closed(name, read) for name in files) and _settings_closed(read)
    return Inferred((folder,), tuple(dict.fromkeys(files)), closed)


def _settings_closed(read: Read) -> bool:
    """Whether settings of uv and setuptools lead to nothing else of the checkout."""
    uv = local_sources.uv_settings_closed(read("uv.toml"))
    return uv and local_sources.setup_closed(read("setup.cfg"))


def _is_closed(name: str, read: Read) -> bool:
    """Whether a file that is given with `-r` decides alone what is installed."""
    if name.rpartition("/")[2] == "pyproject.toml":
        return local_sources.project_closed(read(name))
    if name in _SETTINGS["uv"]:
        return True
    if name.endswith((".py", ".cfg", ".toml")):
        return False
    return local_sources.requirements_closed(read(name))


def _venv_folder(words: list[str]) -> str | None:
    """The folder of a call that makes a virtual environment and nothing else."""
    if words[:2] == ["uv", "venv"]:
        rest = [word for word in words[2:] if word != "--allow-existing"]
        rest = rest or [VENV]
    elif re.fullmatch(r"python3?(\.\d+)?", words[0]) and words[1:3] == ["-m", "venv"]:
        rest = words[3:]
    else:
        return None
    is_folder = len(rest) == 1 and re.fullmatch(r"\.?[A-Za-z][A-Za-z0-9_-]*", rest[0])
    return rest[0] if is_folder else None


def _requirements(words: list[str]) -> list[str] | None:
    """The files of `-r F -r G`; None where anything else is said."""
    flags, files = words[::2], words[1::2]
    inside = all(not name.startswith(("/", "..", "~")) for name in files)
    is_so = set(flags) <= {"-r", "--requirement"} and len(flags) == len(files) and inside
    return files if is_so else None


def _is_plain(words: list[str]) -> bool:
    """Whether there are options only, and none that leads elsewhere."""
    previous = ""
    for word in words:
        name = word.partition("=")[0]
        if name in _ELSEWHERE or not (word.startswith("-") or previous in _WITH_VALUE):
            return False
        previous = word
    return True


def folders(line: str) -> list[str]:
    """What the line may make, whatever lock files there are."""
    calls = [words for words in _calls(line) or [] if words]
    managers = {words[0] for words in calls}
    found = {MODULES} if managers & _NODE.keys() else set()
    found |= {VENV} if managers & {"uv", "poetry"} else set()
    found |= {folder for words in calls if (folder := _venv_folder(words))}
    return sorted(found)


# Variables that lead to more of the checkout, as each manager's documentation names them.
_LEADS = re.compile(
    r"(UV|PIP|POETRY|NPM_CONFIG|PNPM_CONFIG|YARN|BUN)_\w*"
    r"(EDITABLE|FIND_LINKS|CONSTRAINTS?|OVERRIDES?|REQUIREMENTS?|CONFIG_FILE|USERCONFIG|GLOBALCONFIG"
    r"|PROJECT|WORKING_DIR(ECTORY)?|PREFIX|TARGET|PNPMFILE|ENV_FILE|WORKSPACES?)",
    re.IGNORECASE,
)


def lead_here(given: Mapping[str, str]) -> bool:
    """Whether variables of the environment have managers copy more of the checkout than their
    files tell: UV_NO_EDITABLE=1, PIP_FIND_LINKS=wheels."""
    return any(
        _LEADS.fullmatch(name) and value and not re.match("https?://", value)
        for name, value in given.items()
    )


def variables(lines: Iterable[str], home: str) -> dict[str, str]:
    """What a manager that these lines name has to be told in the environment, so that every call
    finds what the first one made: pnpm keeps one store per project (its documentation, 'storeDir',
    and of the environment, which version 11 has renamed). Not told to others: npm 11 warns of it.
    """
    if not any(re.search(r"\bpnpm\b", line) for line in lines):
        return {}
    store = f"{home}/{_DOWNLOADS['pnpm']}"
    return {"npm_config_store_dir": store, "pnpm_config_store_dir": store}


# What of a download cache is verified whenever it is used: npm names content by its hash, and pip
# checks it where all requirements carry one. Everything else (what uv, bun, yarn and npx unpacked,
# pnpm's index, wheels that pip built, pages of an index) could be anything by now.
_VERIFIED = {".npm": ("_cacache/content-v2",), ".cache/pip": ("http", "http-v2")}


def verified(cache: str, files: Iterable[bytes]) -> tuple[str, ...]:
    """The folders of a download cache that another run may begin with, whatever ran beside the
    one that made it. `files` are the key files of the step."""
    hashed = all(b"--hash=" in data for data in files)
    return _VERIFIED.get(cache, ()) if cache != ".cache/pip" or hashed else ()


def downloads(line: str) -> tuple[str, ...]:
    """The download caches, below the home folder, of the managers that a line names."""
    names = {word.rpartition("/")[2] for word in re.split(r"[^\w./-]+", line)}
    return tuple(sorted({_DOWNLOADS[name] for name in names & _DOWNLOADS.keys()}))
