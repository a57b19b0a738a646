"""What each verb goes through, and the shape of the package: figures about the code, not a race.

    python benchmarks/house.py [VERB]... [--static] [--list] [--json] [--treedock PATH]

VERB: list, exec, status, "sync of none", "up, unchanged", up, clean, merge; all where none is
named. The scene is the simplest project: a tracked file and a treedock.yaml that names an image,
which is there, and ports; no remote. `clean` removes an instance that is up and has nothing to
lose; `merge` lands one commit that was made inside, with the one gate `true`; `up` makes a new
instance, and all other verbs have one that is up. Every verb runs once before, uncounted.

Per verb: files of runner/ entered and hops between them (see traced.py), the git processes that
treedock itself starts (those that git starts are not seen), how many of them are `worktree list`,
and the time of the whole process without the tracer, as a median. Of the package: lines, files,
functions and circles of imports (see shape.py).

--list prints the git processes in order, each with the calls that lead to it, and which are the
same. --treedock measures the command of another checkout, to compare.
"""

import argparse
import contextlib
import itertools
import json
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from processes import Failed, run
from scene import SLOTS, TREEDOCK, Scene, free_block
from shape import shape
from verbs import SIMPLEST, VERBS, Verb, remove, timed

TRACED = Path(__file__).with_name("traced.py")
WRAPPERS = ("sh", "env", "nice", "setsid", "timeout")
VALUED = ("-c", "-C", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--attr-source")


@dataclass(frozen=True)
class Spawn:
    """A git process: the words without git's own options, and the calls that lead to it, from the
    innermost outwards, each "controller/up.py:12 up"; of those within the file that starts
    processes the outermost only."""

    at: float
    words: str
    callers: tuple[str, ...]


@dataclass(frozen=True)
class Trace:
    verb: str
    seconds: float
    files: list[str]
    hops: int
    git: list[Spawn]
    others: list[str]  # programs that are not git
    crossings: dict[str, int]

    @property
    def worktree_lists(self) -> int:
        return sum(one.words.startswith("worktree list") for one in self.git)


def main() -> None:
    parser = argparse.ArgumentParser(description="What each verb goes through.")
    parser.add_argument("verb", nargs="*", help=", ".join(one.name for one in VERBS))
    parser.add_argument("--static", action="store_true", help="the package only, no engine")
    parser.add_argument("--list", action="store_true", help="the git processes, with callers")
    parser.add_argument("--json", action="store_true", help="everything, as one document")
    parser.add_argument("--rounds", type=int, default=3, help="for the times")
    parser.add_argument("--treedock", type=Path, default=TREEDOCK, help="the command to measure")
    asked = parser.parse_args()
    if unknown := set(asked.verb) - {one.name for one in VERBS}:
        parser.error(f"no such verb: {', '.join(sorted(unknown))}")
    command = asked.treedock.absolute()
    found = shape(package_of(command))
    verbs = [one for one in VERBS if not asked.verb or one.name in asked.verb]
    traces = [] if asked.static else measured(command, verbs, 0 if asked.list else asked.rounds)
    if asked.json:
        document = [asdict(one) | {"worktree_lists": one.worktree_lists} for one in traces]
        print(json.dumps({"package": found, "verbs": document}, indent=2))
    elif asked.list:
        print("\n\n".join(git_list(one) for one in traces))
    else:
        print("\n\n".join([package_text(found), *([verbs_text(traces)] if traces else [])]))


def package_of(command: Path) -> Path:
    code = "import importlib.util as u; print(u.find_spec('runner').origin)"
    python = command.with_name("python")
    return Path(run([python, "-c", code], cwd=Path("/")).strip()).parent


# --- measuring ------------------------------------------------------------------------------


def measured(command: Path, verbs: Sequence[Verb], rounds: int) -> list[Trace]:
    with scene_of(command) as scene:
        traces = []
        for verb in verbs:
            say(verb.name)
            timed(scene, verb)
            times = [timed(scene, verb) for _ in range(rounds)]
            traces.append(traced(scene, verb, times))
        return traces


@contextlib.contextmanager
def scene_of(command: Path) -> Iterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="treedock-house-") as folder:
        scene = Scene(Path(folder), "fullstack", free_block(4 * SLOTS), SIMPLEST, command)
        try:
            yield scene
        finally:
            scene.remove_all()


def traced(scene: Scene, verb: Verb, times: list[float]) -> Trace:
    [instance] = scene.ids(1)
    verb.prepare(scene, instance)
    out = scene.folder / "trace.json"
    command = verb.command(scene, instance)
    run([Path(command[0]).with_name("python"), TRACED, out, *command], cwd=scene.repository)
    remove(scene, instance)
    found = json.loads(out.read_text())
    if found["exit_code"]:
        raise Failed(f"{verb.name} ended with exit code {found['exit_code']}")
    known = {str(scene.repository): "REPO", instance: "ID"}
    git = [one for one in found["processes"] if git_words(one["words"]) is not None]
    others = [one["words"][0] for one in found["processes"] if one not in git]
    return Trace(
        verb=verb.name,
        seconds=round(statistics.median(times), 3) if times else 0.0,
        files=found["files"],
        hops=found["hops"],
        git=[spawn(one, known) for one in git],
        others=others,
        crossings=found["crossings"],
    )


def spawn(process: dict[str, Any], known: dict[str, str]) -> Spawn:
    words = " ".join(git_words(process["words"]) or [])
    for value, name in known.items():
        words = words.replace(value, name)
    callers = process["callers"]
    lowest = callers[0][0] if callers else ""
    inner = len(list(itertools.takewhile(lambda one: one[0] == lowest, callers)))
    shown = tuple(f"{file}:{line} {name}" for file, line, name in callers[max(0, inner - 1) :])
    return Spawn(process["at"], words, shown)


def git_words(words: Sequence[str]) -> list[str] | None:
    """The subcommand and its arguments, or None where the process is not git."""
    left = list(words)
    if Path(left[0]).name in WRAPPERS and "git" in left:
        left = left[left.index("git") :]
        left = left[1:] if left[1:2] == ["git"] else left  # sh -c '... "$@"' git git
    if Path(left.pop(0)).name != "git":
        return None
    while left and left[0].startswith("-"):
        option = left.pop(0)
        if option in VALUED and left:
            left.pop(0)
    return left


# --- text -----------------------------------------------------------------------------------


def verbs_text(traces: Sequence[Trace]) -> str:
    lines = [f"{'verb':16}{'files':>7}{'hops':>7}{'git':>6}{'worktree list':>15}{'seconds':>9}"]
    lines += [
        f"{one.verb:16}{len(one.files):7}{one.hops:7}{len(one.git):6}{one.worktree_lists:15}"
        f"{one.seconds:9.3f}"
        for one in traces
    ]
    return "\n".join(lines)


def package_text(found: dict[str, Any]) -> str:
    where, length = found["longest_function"]
    long = len(found["functions_over_40_lines"])
    lines = [
        f"runner/: {found['files']} files, {found['lines']} lines, {found['functions']} functions",
        f"longest function: {length} lines, {where}",
        f"functions over 40 lines: {long} ({found['share_over_40_lines']:.1%})",
        f"files over 250 lines: {len(found['files_over_250_lines'])}",
        *(f"  {lines:5} {name}" for name, lines in found["files_over_250_lines"]),
    ]
    for kind, groups in found["circles"].items():
        what = f"circles of {kind.replace('_', ' ')}"
        lines += [f"{what}: {len(groups)}", *(f"  {' <-> '.join(group)}" for group in groups)]
    return "\n".join(lines)


def git_list(trace: Trace) -> str:
    kinds = Counter(kind(one.words) for one in trace.git)
    same = Counter(one.words for one in trace.git)
    lines = [
        f"=== {trace.verb}: {len(trace.git)} git processes, {trace.worktree_lists} of them "
        f"worktree list; other programs: {', '.join(trace.others) or 'none'}",
        "by kind: " + ", ".join(f"{count} {name}" for name, count in kinds.most_common()),
    ]
    for number, one in enumerate(trace.git, 1):
        lines += [f"{number:4} {one.at:7.3f} s  git {one.words}"]
        lines += [f"          {' < '.join(one.callers[at : at + 3])}" for at in (0, 3, 6)][
            : -(-len(one.callers) // 3)
        ]
    lines += ["more than once with the same words:"]
    lines += [f"{count:4} x git {words}" for words, count in same.most_common() if count > 1]
    return "\n".join(lines)


def kind(words: str) -> str:
    """The subcommand; of `worktree` and `remote` what they are to do as well."""
    first, *rest = words.split(" ")
    return f"{first} {rest[0]}" if first in ("worktree", "remote") and rest else first


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
