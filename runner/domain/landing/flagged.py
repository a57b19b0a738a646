"""Which changed paths people or tools run on this machine later, outside of any sandbox.

An instance may write anything; what it runs stays inside. A file that a person's `make`, an
editor, a shell or a CI system picks up does not: it is shown first, with the reason.

Not here: `conftest.py` and other sources. Tests and the program itself run on any machine that
runs them, and a list that names most branches warns no one.
"""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any
from unicodedata import normalize

SYMLINK = "120000"
SUBMODULE = "160000"

# Pattern -> reason. A leading '/' means the top of the checkout, else any folder; a trailing '/'
# means a folder and everything below it. Compared without case: some file systems have none.
_RULES: Mapping[str, str] = {
    # CI: runs with the project's secrets, often at the push already
    "/.github/workflows/": "GitHub Actions runs it, with the project's secrets",
    "/.github/actions/": "GitHub Actions runs it, with the project's secrets",
    "/.forgejo/workflows/": "Forgejo Actions runs it, with the project's secrets",
    "/.gitea/workflows/": "Gitea Actions runs it, with the project's secrets",
    "/action.yml": "GitHub Actions of other projects run it",
    "/action.yaml": "GitHub Actions of other projects run it",
    "/.gitlab-ci.yml": "GitLab CI runs it, with the project's secrets",
    "/.gitlab/": "GitLab CI may include it",
    "/.circleci/": "CircleCI runs it, with the project's secrets",
    "/.buildkite/": "Buildkite runs it, with the project's secrets",
    "/.teamcity/": "TeamCity runs it, with the project's secrets",
    "/.woodpecker/": "Woodpecker runs it, with the project's secrets",
    "/.woodpecker.y*ml": "Woodpecker runs it, with the project's secrets",
    "/.drone.y*ml": "Drone runs it, with the project's secrets",
    "/.travis.yml": "Travis CI runs it, with the project's secrets",
    "/.appveyor.yml": "AppVeyor runs it, with the project's secrets",
    "/appveyor.yml": "AppVeyor runs it, with the project's secrets",
    "/azure-pipelines*.yml": "Azure Pipelines runs it, with the project's secrets",
    "/bitbucket-pipelines.yml": "Bitbucket Pipelines runs it, with the project's secrets",
    "/cloudbuild.y*ml": "Cloud Build runs it, with the project's secrets",
    "jenkinsfile*": "Jenkins runs it, with the project's secrets",
    "codeowners": "it decides whose review a change needs",
    # editors
    ".vscode/tasks.json": "VS Code runs its tasks, some on opening the folder",
    ".vscode/launch.json": "VS Code starts what it names",
    ".vscode/settings.json": "VS Code takes paths of programs from it",
    ".vscode/mcp.json": "VS Code starts the servers that it names",
    ".vscode/": "VS Code reads it",
    "*.code-workspace": "VS Code takes settings and tasks from it",
    ".devcontainer/": "editors build it and run its commands, initializeCommand on this machine",
    ".devcontainer.json": "editors run its commands, initializeCommand on this machine",
    ".idea/": "JetBrains editors take run configurations from it",
    ".run/": "JetBrains editors take run configurations from it",
    ".zed/": "Zed takes tasks and paths of programs from it",
    ".fleet/": "Fleet takes run configurations from it",
    ".vim/": "Vim may run it on opening the folder",
    ".exrc": "Vim may run it on opening the folder",
    ".nvimrc": "Neovim may run it on opening the folder",
    ".nvim.lua": "Neovim may run it on opening the folder",
    ".dir-locals.el": "Emacs may run it on opening a file",
    # coding agents
    ".claude/": "Claude Code takes hooks, permissions and instructions from it",
    ".mcp.json": "coding agents start the servers that it names",
    ".cursor/": "Cursor takes hooks, servers and instructions from it",
    ".cursorrules": "Cursor follows its instructions",
    ".windsurf/": "Windsurf takes instructions from it",
    ".windsurfrules": "Windsurf follows its instructions",
    ".codex/": "Codex takes settings and instructions from it",
    ".gemini/": "Gemini CLI takes settings and servers from it",
    ".aider.conf.yml": "Aider takes commands from it",
    "claude.md": "coding agents follow its instructions, on this machine too",
    "agents.md": "coding agents follow its instructions, on this machine too",
    "gemini.md": "coding agents follow its instructions, on this machine too",
    "/.github/copilot-instructions.md": "Copilot follows its instructions",
    # git
    ".gitattributes": "it names the filters, diff and merge drivers that git runs on files",
    ".lfsconfig": "git-lfs sends requests, with your credentials, to the addresses that it names",
    ".gitmodules": "it names where git fetches submodules from",
    ".gitconfig": "git runs commands from it where it is included",
    ".husky/": "husky makes git run it as a hook",
    ".githooks/": "git runs it as a hook where core.hooksPath says so",
    ".git-hooks/": "git runs it as a hook where core.hooksPath says so",
    "githooks/": "git runs it as a hook where core.hooksPath says so",
    "git-hooks/": "git runs it as a hook where core.hooksPath says so",
    ".hooks/": "git runs it as a hook where core.hooksPath says so",
    ".pre-commit-config.yaml": "pre-commit fetches and runs what it names at a commit",
    ".pre-commit-hooks.yaml": "pre-commit runs what it names in other projects",
    "lefthook*.y*ml": "lefthook runs its commands as git hooks",
    ".lefthook*.y*ml": "lefthook runs its commands as git hooks",
    ".lintstagedrc*": "lint-staged runs its commands at a commit",
    "lint-staged.config.*": "lint-staged runs it at a commit",
    ".env": "programs take variables from it, such as PATH, which decide what they run",
    # what people call by hand
    "makefile": "make runs it",
    "gnumakefile": "make runs it",
    "makefile.*": "make runs it where it is included",
    "*.mk": "make runs it where it is included",
    "justfile": "just runs it",
    ".justfile": "just runs it",
    "taskfile*.y*ml": "task runs it",
    "rakefile": "rake runs it",
    "gruntfile.*": "grunt runs it",
    "gulpfile.*": "gulp runs it",
    "noxfile.py": "nox runs it",
    "tox.ini": "tox runs its commands",
    "tasks.py": "invoke runs it",
    "fabfile.py": "fabric runs it",
    "procfile*": "process managers run its commands",
    "gradlew*": "it is run to build the project",
    "mvnw*": "it is run to build the project",
    "gradle/wrapper/": "it says which program builds the project",
    ".mvn/": "maven takes options and programs from it",
    "build.rs": "cargo runs it, and editors run cargo",
    ".cargo/": "cargo takes programs to run from it",
    "setup.py": "pip runs it when the project is installed",
    "sitecustomize.py": "Python runs it at every start beside it",
    # shells and tool versions
    ".envrc": "direnv runs it on entering the folder",
    ".mise.toml": "mise runs its hooks and tasks",
    "mise.toml": "mise runs its hooks and tasks",
    ".mise/": "mise runs its hooks and tasks",
    ".tool-versions": "it says which programs run on this machine",
    "shell.nix": "nix runs it",
    "default.nix": "nix runs it",
    "flake.nix": "nix runs it",
    ".npmrc": "npm takes registries and programs to run from it",
    ".yarnrc": "yarn takes programs to run from it",
    ".yarnrc.yml": "yarn takes programs to run from it",
    ".yarn/releases/": "yarn runs it instead of itself",
    ".yarn/plugins/": "yarn runs it",
    ".pnpmfile.cjs": "pnpm runs it at an install",
    ".gdbinit": "gdb may run it",
    ".lldbinit": "lldb may run it",
    # containers
    "dockerfile": "image builds run it",
    "dockerfile.*": "image builds run it",
    "*.dockerfile": "image builds run it",
    "containerfile": "image builds run it",
    "docker-compose*.y*ml": "Compose starts what it says, with any folder of the machine in it",
    "compose*.y*ml": "Compose starts what it says, with any folder of the machine in it",
    "vagrantfile": "vagrant runs it",
    # treedock
    "/treedock.yaml": "it says how instances are built, tested and limited",
    "/.worktreeinclude": "it says which ignored files (secrets) are copied into instances",
}

# Of package.json, what makes npm and its friends run something.
_PACKAGE_KEYS = {
    "scripts": "npm runs its scripts, some at every install",
    "packageManager": "corepack fetches and runs the program that it names",
    "husky": "husky runs its commands as git hooks",
    "lint-staged": "lint-staged runs its commands at a commit",
    "simple-git-hooks": "git runs its commands as hooks",
    "gitHooks": "git runs its commands as hooks",
    "pre-commit": "git runs its commands as hooks",
    "pnpm": "pnpm takes from it which packages may run scripts at an install",
    "trustedDependencies": "bun takes from it which packages may run scripts at an install",
}
_PYPROJECT_KEYS = {"build-system": "pip runs the build backend that it names"}

_Parse = Callable[[str], Any]


def reads_text(path: str, mode: str) -> bool:
    """Whether the texts decide about a path, not the name alone."""
    return mode == SYMLINK or _name(path) in ("package.json", "pyproject.toml")


def reason_of(
    path: str, *, mode: str = "100644", old: str | None = "", new: str | None = ""
) -> str | None:
    """Why someone should look at the change of this path, or None.

    `mode` is git's, after the change. `old` and `new` are the texts where reads_text() asks for
    them: '' for no file, None for one that cannot be read, which is a reason by itself.
    """
    if mode == SUBMODULE:
        return "a submodule: git fetches and checks out another repository there"
    if mode == SYMLINK and (new is None or leads_out(path, new)):
        return "a symbolic link that leads out of the checkout"
    if _name(path) == "package.json":
        return _changed_key(json.loads, _PACKAGE_KEYS, old, new)
    if _name(path) == "pyproject.toml":
        return _changed_key(tomllib.loads, _PYPROJECT_KEYS, old, new)
    lowered = path.lower()
    return next((reason for rule, reason in _RULES.items() if _matches(lowered, rule)), None)


def case_twins(paths: Iterable[str]) -> set[tuple[str, ...]]:
    """Names, of files and of folders, that a file system without case cannot tell apart."""
    found: dict[str, set[str]] = {}
    known: set[str] = set()
    for path in paths:
        while path and path not in known:
            known.add(path)
            found.setdefault(normalize("NFC", path).casefold(), set()).add(path)
            path = path.rpartition("/")[0]
    return {tuple(sorted(names)) for names in found.values() if len(names) > 1}


def leads_out(path: str, target: str) -> bool:
    """Whether a symbolic link at `path` leaves the checkout by what is written in it."""
    depth = len(PurePosixPath(path).parts) - 1
    for part in target.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return True
    return target.startswith("/")


def _name(path: str) -> str:
    return path.rpartition("/")[2].lower()


def _matches(path: str, rule: str) -> bool:
    anchored, folder = rule.startswith("/"), rule.endswith("/")
    pattern = rule.strip("/") + ("/*" if folder else "")
    return fnmatchcase(path, pattern) or (not anchored and fnmatchcase(path, f"*/{pattern}"))


def _changed_key(
    parse: _Parse, keys: Mapping[str, str], old: str | None, new: str | None
) -> str | None:
    """The reason of the first key whose value differs."""
    before, after = _table(parse, old), _table(parse, new)
    if before is None or after is None:
        return "it cannot be read, so nobody knows what it makes tools run"
    return next((why for key, why in keys.items() if before.get(key) != after.get(key)), None)


def _table(parse: _Parse, text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    if not text:
        return {}
    try:
        found = parse(text)
    except (ValueError, RecursionError):  # a stranger wrote it
        return None
    return found if isinstance(found, dict) else None
