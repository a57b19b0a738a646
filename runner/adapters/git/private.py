"""The git directory that an instance has of its own, seen inside as /run/treedock/git.

The host makes it, and never runs git with it afterwards: code inside can write all of it. What
it says later is read here file by file, and every id in it is a claim until its objects have
passed the quarantine.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from runner.adapters.failpoints import step
from runner.adapters.files import disk, untrusted
from runner.adapters.git.repository import Git
from runner.domain.errors import ConfigError, Refused
from runner.domain.frozen import dataclass

MAX_REFS = 2000
REFS = 16 * 2**20  # bytes of packed refs or a reflog: MAX_REFS lines of 1 KiB, and peeled tags
_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# What git itself forbids in the name of a ref (git-check-ref-format).
_BAD_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|^\.|\.lock(/|$)|[./]$")
_BUSY = {
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
# Of the main configuration, what decides how files look or what they are called.
_TAKEN_OVER = re.compile(
    r"core\.(autocrlf|eol|safecrlf|filemode|symlinks|ignorecase|precomposeunicode"
    r"|checkroundtripencoding|sparsecheckout|sparsecheckoutcone|longpaths)|user\.(name|email)"
    r"|i18n\.commitencoding"
)
# And what holds where it says nothing, lest the image's /etc/gitconfig say something else.
_PLAIN = {"core.autocrlf": "false", "core.eol": "native"}
# The files of the rules: what follows the person's own while the instance lives.
ATTRIBUTES = "attributes"
IGNORE = "ignore"
SETTINGS = "config"

# In place of a filter that is not inside: what is as committed (checked out there, where nothing
# turns it into something else) passes, and everything else fails rather than be committed raw.
_AS_COMMITTED = (
    't=$(mktemp) && cat > "$t" && '
    'test "$(git hash-object --no-filters "$t")" = "$(git rev-parse --verify -q :%f)" && cat "$t"; '
    's=$?; rm -f "$t"; [ $s = 0 ] || echo %f "goes through a filter (lfs or the like) that is not '
    'in this instance: add and commit it on the host, in trees/$TREEDOCK_ID" >&2; exit $s'
)


@dataclass(frozen=True)
class Start:
    """What a new own git directory begins with."""

    branch: str
    head: str
    base: str
    """Name of the base branch; inside it is refs/remotes/origin/<base>."""
    base_commit: str


@dataclass(frozen=True)
class Places:
    """Where the files, the main objects and the rules of the person lie inside."""

    workspace: str
    objects: str
    rules: str


@dataclass(frozen=True)
class Inside:
    """What an own git directory claims. `branch` is what HEAD is on, None when detached at
    `detached`; `busy` names the operation that is in progress."""

    branch: str | None
    detached: str | None
    refs: Mapping[str, str]
    stash: tuple[str, ...]
    busy: str | None


@dataclass(frozen=True)
class Alternate:
    """An object folder that is shown inside, and where."""

    source: Path
    target: str


class OwnGit:
    """The own git directory at `folder`, of an instance of the repository `git`. `below` is the
    folder from which on code inside may have replaced any; by default it is that one."""

    def __init__(self, folder: Path, git: Git, *, below: Path | None = None) -> None:
        self.folder = folder
        self.below = below or folder
        self._git = git

    def is_whole(self) -> bool:
        """Whether there is a git directory with a HEAD."""
        return self.folder.is_dir() and not self.folder.is_symlink() and self._head() is not None

    def make(self, start: Start, worktree: Path, places: Places) -> list[str]:
        """Make it, whole or not at all; one that was there is kept aside, because it may hold
        commits. Returns what the person should know, as sentences. Raises Refused for a
        repository whose objects are not all here."""
        config = self._git.settings(worktree)
        require_complete(config)
        for left in self.folder.parent.glob("git.new-*"):  # of one that was killed
            disk.remove_tree(left)
        new = self.folder.with_name(f"git.new-{os.getpid()}")
        sha256 = config.get("extensions.objectformat") == "sha256"
        make_bare(new, start.branch, sha256=sha256)
        borrowed = self.alternates(places.objects)
        alternates = [places.objects, *(a.target for a in borrowed)]
        (new / "objects/info/alternates").write_text("".join(f"{a}\n" for a in alternates))
        _ref(new, f"refs/heads/{start.branch}", start.head)
        _ref(new, f"refs/remotes/origin/{start.base}", start.base_commit)
        hooks = self._git.relative_hooks()
        (new / "config").write_text(_configuration(config, places, hooks, sha256=sha256))
        (new / "info").mkdir(exist_ok=True)
        linked = self._git.worktree_dir(worktree)
        for name, source in {
            "index": linked / "index",
            "info/sparse-checkout": linked / "info/sparse-checkout",
            "shallow": self._git.common_dir / "shallow",
        }.items():
            if source.exists():
                shutil.copy2(source, new / name)  # with its time: the index is racy without
        for shared in linked.glob("sharedindex.*"):
            shutil.copy2(shared, new / shared.name)
        filters = [f for f in filters_of(config) if self._git.uses_filter(worktree, f)]
        if filters and (new / "index").exists():
            disk.wait_until_next_second()
            os.utime(new / "index")
        step("fill the own git directory")
        aside = self._set_aside()
        new.rename(self.folder)
        step("make the own git directory")
        said = [
            f"files under the filter {name} can be read inside, but not changed: git there does "
            "not have it, and would commit them raw"
            for name in filters
        ]
        if aside:
            said.append(f"its git directory was damaged inside; that one is kept: {aside}")
        return said

    def _set_aside(self) -> Path | None:
        if not os.path.lexists(self.folder):
            return None
        taken = sum(1 for _ in self.folder.parent.glob("git.damaged-*"))
        aside = self.folder.with_name(f"git.damaged-{taken + 1}")
        self.folder.rename(aside)
        step("set the damaged git directory aside")
        return aside

    def alternates(self, objects: str) -> list[Alternate]:
        """The object folders that the main one borrows from, each with its place inside."""
        found: list[Path] = []
        todo = [self._git.common_dir / "objects"]
        while todo:
            folder = todo.pop()
            listed = folder / "info/alternates"
            for line in listed.read_text().splitlines() if listed.exists() else ():
                other = (folder / line).resolve()
                if line and not line.startswith("#") and other not in found:
                    found.append(other)
                    todo.append(other)
        return [
            Alternate(path, f"{objects.rsplit('/', 1)[0]}/alternates/{n}")
            for n, path in enumerate(found)
        ]

    def keep(self, name: str, data: bytes) -> None:
        """Have this in a file of it, e.g. info/exclude, as it is outside."""
        if (self._read(name, len(data) + 1) or b"") != data:
            disk.write_below(self.folder, name, data)

    def look(self) -> Inside:
        """What it claims now. Raises Refused where it is no git directory any more."""
        head = self._head()
        if head is None:
            raise Refused(
                f"{self.folder} is no git directory any more: code inside has damaged it.",
                hint="treedock up makes it anew from the commits that were synced, and keeps this.",
            )
        branch, detached = head
        busy = next((w for name, w in _BUSY.items() if os.path.lexists(self.folder / name)), None)
        loose = dict(self._loose())  # first: what `git pack-refs` takes away is packed by then
        refs = {**dict(self._packed()), **loose}
        _require_possible(refs, self.folder)
        if len(refs) > MAX_REFS:
            raise self._too_many()
        stash = self._stash(refs.pop("refs/stash", None))
        return Inside(branch, detached, refs, stash, busy)

    def claims(self) -> dict[str, str]:
        """The refs that it claims, whatever else is damaged: id by full name; the commit of a
        detached HEAD is refs/heads/detached. Raises Refused for more than MAX_REFS."""
        branch, detached = self._head() or (None, None)
        there = {"refs/heads/detached": detached} if detached and branch is None else {}
        return {**there, **dict(self._packed()), **dict(self._loose())}

    def _head(self) -> tuple[str | None, str | None] | None:
        text = self._line("HEAD")
        name = text.removeprefix("ref: refs/heads/")
        if name != text and is_ref_name(name):
            return name, None
        return (None, text) if _ID.fullmatch(text) else None

    def _packed(self) -> Iterator[tuple[str, str]]:
        data = self._read("packed-refs", REFS) or b""
        lines = data.split(b"\n", 2 * MAX_REFS + 2)  # a line for the head, two for each tag
        if len(lines) > 2 * MAX_REFS + 2 or len(data) == REFS:
            raise self._too_many()
        for line in lines:
            commit, _, name = os.fsdecode(line).partition(" ")
            if _ID.fullmatch(commit) and name.startswith("refs/") and is_ref_name(name):
                yield name, commit

    def _loose(self) -> Iterator[tuple[str, str]]:
        """Not by os.walk: it recurses, and folders can be nested deeper than Python's stack."""
        todo, seen = ["refs"], 0
        while todo:
            folder = todo.pop()
            for entry in untrusted.entries_of(self.folder / folder, self.below):
                name = f"{folder}/{entry.path.name}"
                if entry.is_folder:
                    todo.append(name)
                elif is_ref_name(name) and _ID.fullmatch(commit := self._line(name)):
                    yield name, commit
                seen += 1
                if seen > 2 * MAX_REFS:  # refs, and folders on the way to them
                    raise self._too_many()

    def _read(self, name: str, bound: int = untrusted.BOUND) -> bytes | None:
        return untrusted.read(self.folder / name, bound, below=self.below)

    def _line(self, name: str) -> str:
        return os.fsdecode(self._read(name, 2048) or b"").strip()

    def _too_many(self) -> Refused:
        return Refused(
            f"There are more than {MAX_REFS} refs in {self.folder}.",
            hint="Delete those inside that nobody needs: git branch -D, git tag -d, "
            "git remote remove.",
        )

    def _stash(self, top: str | None) -> tuple[str, ...]:
        """The stash's commits, the newest first: they are its reflog."""
        if top is None:
            return ()
        data = self._read("logs/refs/stash", REFS) or b""
        logged = [line.split(b" ")[1:2] for line in data.splitlines()[-MAX_REFS:]]
        found = [os.fsdecode(words[0]) for words in logged if words]
        ids = [commit for commit in found if _ID.fullmatch(commit)]
        return tuple(dict.fromkeys([top, *reversed(ids)]))


def make_bare(folder: Path, branch: str, *, sha256: bool) -> None:
    """An empty repository in `folder` (gitrepository-layout), with nothing of the user's own
    template."""
    for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (folder / name).mkdir(parents=True)
    (folder / "HEAD").write_text(f"ref: refs/heads/{branch}\n")
    version = {"core.repositoryformatversion": "1" if sha256 else "0"}
    extensions = {"extensions.objectformat": "sha256"} if sha256 else {}
    (folder / "config").write_text(_rendered({**version, "core.bare": "true", **extensions}))
    step("make an empty repository")


def is_ref_name(name: str) -> bool:
    """Whether git would accept this as (the rest of) the name of a ref."""
    if not name or len(name) > 1024 or name[0] in "-/" or _BAD_NAME.search(name):
        return False
    # No file system would hold a longer part of it and git's .lock behind it.
    return all(len(os.fsencode(part)) <= 250 for part in name.split("/"))


def _ref(folder: Path, name: str, commit: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{commit}\n")


def require_complete(config: Mapping[str, str]) -> None:
    """Raises ConfigError for a partial clone: it fetches what it lacks when it is asked, and inside
    there is no way to."""
    partial = "extensions.partialclone" in config or any(
        key.startswith("remote.") and key.endswith((".promisor", ".partialclonefilter"))
        for key in config
    )
    if partial:
        raise ConfigError(
            "This repository is a partial clone: objects that are not here yet could not be "
            "fetched inside.",
            hint="Clone it without --filter, and use that one.",
        )


def rules_at(folder: str) -> dict[str, str]:
    """The settings by which git finds the person's settings, attributes and ignore rules there."""
    return {
        "include.path": f"{folder}/{SETTINGS}",
        "core.attributesfile": f"{folder}/{ATTRIBUTES}",
        "core.excludesfile": f"{folder}/{IGNORE}",
    }


def filters_of(config: Mapping[str, str]) -> list[str]:
    """Filters that change files here, or that git has to apply (lfs, git-crypt): without them
    git inside would commit the raw file."""
    found = []
    for key, value in config.items():
        name, _, what = key.removeprefix("filter.").rpartition(".")
        changes = what in ("clean", "smudge", "process") and value not in ("", "cat")
        needed = what == "required" and value.lower() in ("true", "1", "yes", "on")
        if key.startswith("filter.") and (changes or needed):
            found.append(name)
    return list(dict.fromkeys(found))


def _configuration(
    config: Mapping[str, str], places: Places, hooks: str | None, *, sha256: bool
) -> str:
    """The text of the own git directory's `config`. `hooks`: the project's own, which run inside
    as anywhere."""
    values = {
        "core.repositoryformatversion": "1" if sha256 else "0",
        "core.bare": "false",
        "core.worktree": places.workspace,
        "core.logallrefupdates": "true",
        "gc.auto": "0",
        "maintenance.auto": "false",
        **({"extensions.objectformat": "sha256"} if sha256 else {}),
        **({"core.hookspath": hooks} if hooks else {}),
        **_PLAIN,
        **{key: value for key, value in config.items() if _TAKEN_OVER.fullmatch(key)},
        **rules_at(places.rules),  # the last one counts
    }
    for name in filters_of(config):
        values |= {
            f"filter.{name}.clean": _AS_COMMITTED,
            f"filter.{name}.smudge": "cat",
            f"filter.{name}.required": "true",
        }
    return _rendered(values)


def rules_text(settings: Mapping[str, str]) -> bytes:
    """What `SETTINGS` holds, where these are the person's."""
    return _rendered({**_PLAIN, **settings}).encode(errors="surrogateescape")


def _rendered(values: Mapping[str, str]) -> str:
    """A file of git's configuration."""
    lines = []
    for key, value in values.items():
        section, _, rest = key.partition(".")
        name, _, variable = rest.rpartition(".")
        head = f"[{section} {_quoted(name)}]" if name else f"[{section}]"
        lines.append(f"{head}\n\t{variable} = {_quoted(value)}\n")
    return "".join(lines)


def _quoted(text: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def _require_possible(refs: Mapping[str, str], folder: Path) -> None:
    """git keeps refs as files: where there is `a`, there cannot be `a/b`."""
    for name in refs:
        parents = (str(parent) for parent in Path(name).parents)
        above = next((parent for parent in parents if parent in refs), None)
        if above:
            raise Refused(
                f"{folder} has both {above} and {name}, which git forbids.",
                hint="Delete one of them inside: git update-ref -d",
            )
