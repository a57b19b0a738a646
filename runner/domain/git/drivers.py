"""Which filter, diff and merge commands of git's configuration no branch can steer.

git runs them by a shell, from the top of a worktree whose files an instance wrote.
"""

import posixpath
import re
import shlex
from collections.abc import Callable

_KNOWN = frozenset({"git-lfs", "git-crypt", "cat"})
# Programs that run, or look in their folder for, what others wrote. Not
# compiled here: `list` imports this and never asks.
_RUNNERS = (
    r"(?:(?:ba|da|z|k|c|tc|fi|a)?sh|busybox|toybox|env|xargs|find|sudo|doas|su|nice|nohup|setsid"
    r"|timeout|time|stdbuf|chroot|unshare|script|watch|ssh|git|docker|podman|vim?|nvim|emacs|ed|ex"
    r"|(?:[gmnc]|ninja-|b|q)?make|ninja|meson|just|task|rake|gradle|mvn|ant|bazel|tox|nox|invoke"
    r"|(?:i|b|micro|c|pypy|j)?python[\w.-]*|pypy[\w.-]*|uvx?|pipx?|poetry|pdm|hatch|conda|mamba"
    r"|node(?:js)?|npm|npx|yarn|pnpm|pnpx|bunx?|deno|tsx|ts-node|corepack"
    r"|ruby[\w.-]*|bundle|gem|perl[\w.-]*|php[\w.-]*|composer|lua[\w.-]*|tclsh[\w.-]*|expect"
    r"|[gmn]?awk|sed|m4|bc|dc|guile|java|groovy|scala|kotlin|cargo|go|dotnet|mono|pwsh|r|rscript"
    r"|julia|octave|erl|elixir|mix|ghc|runghc|racket|nix[\w-]*|direnv|mise|asdf)"
)
_WORD = re.compile(r"[\w./%=+:@,-]+")
_OPTION = re.compile(r"--(?:[a-z][a-z0-9-]*)?|-[A-Za-z]|%[A-Za-z]")


def is_steady(command: str, real: Callable[[str], str] = lambda path: path) -> bool:
    """Whether no file of the current folder decides what a command does: it is a known program
    with words of its own, or one absolute path with `%` words and plain options (-x, --name)
    that is no interpreter and starts no other program. `real` resolves the path's symlinks.

    `python3 -mjsonfmt`, `make` and `npm run x` all look into the folder they are run in.
    """
    words = _words(command)
    if not words or "\n" in command:
        return False
    program, *rest = words
    if program == "git" and rest[:1] == ["lfs"]:
        program, rest = "git-lfs", rest[1:]
    if program in _KNOWN:
        return all(re.fullmatch(r"[\w%=-]+", word) for word in rest)
    if not posixpath.isabs(program) or posixpath.normpath(program) != program:
        return False
    names = (posixpath.basename(path).lower() for path in (program, real(program)))
    runs = any(re.fullmatch(_RUNNERS, name) for name in names)
    # What `git lfs install` and `git-crypt unlock` write with the full path have words, too.
    plain = re.compile(r"[\w%=-]+") if posixpath.basename(program) in _KNOWN else _OPTION
    return not runs and all(plain.fullmatch(word) for word in rest)


def program_of(command: str) -> str:
    """The program that a command line starts, as it is written there."""
    return (_words(command) or [""])[0]


def _words(command: str) -> list[str] | None:
    """The words of a command; None where a shell would do more than take them apart."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    bare = [re.sub(" ", "", word) if n == 0 else word for n, word in enumerate(words)]
    return words if all(_WORD.fullmatch(word) for word in bare) else None
