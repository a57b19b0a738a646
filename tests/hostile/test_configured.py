"""Programs that git's configuration names: inside it may say what it likes."""

from dataclasses import dataclass

import pytest

from tests.hostile.layouts import House, Naive, plain_git

pytestmark = pytest.mark.engine


@dataclass(frozen=True)
class Trap:
    """`plant` runs inside, at the top of the worktree; `trigger` is what it waits for: a git
    command of the person on this machine."""

    plant: str
    trigger: tuple[str, ...]
    stdin: str = ""


_COMMIT = ("commit", "--allow-empty", "--message", "x")
_FETCH = ("fetch", "--all")
_ASKING = ("status", "diff", "log", "fetch", "credential")

TRAPS = {
    "core.fsmonitor": Trap('git config core.fsmonitor "touch $CANARY; :"', ("status",)),
    "filter.x.clean": Trap(
        'git config filter.x.clean "touch $CANARY; cat"; echo "*.c filter=x" >>.gitattributes; '
        "echo 1 >a.c",
        ("add", "a.c"),
    ),
    "filter.x.process": Trap(
        'git config filter.y.process "touch $CANARY; cat"; echo "*.d filter=y" >>.gitattributes; '
        "echo 1 >a.d",
        ("add", "a.d"),
    ),
    "filter.x.smudge": Trap(
        'git config filter.z.smudge "touch $CANARY; cat"; echo "*.e filter=z" >>.gitattributes; '
        "echo 1 >a.e; git add a.e; rm a.e",
        ("checkout", "--", "a.e"),
    ),
    "diff.external": Trap(
        'git config diff.external "touch $CANARY; :"; echo changed >>kept.txt', ("diff",)
    ),
    "diff.x.command": Trap(
        'git config diff.x.command "touch $CANARY; :"; echo "kept.txt diff=x" >>.gitattributes; '
        "echo changed >>kept.txt",
        ("diff",),
    ),
    "diff.x.textconv": Trap(
        'git config diff.y.textconv "touch $CANARY; cat"; echo "README.md diff=y" '
        ">>.gitattributes; echo changed >>README.md; git commit -qam textconv",
        ("log", "-p"),
    ),
    "merge.x.driver": Trap(
        'git config merge.x.driver "touch $CANARY; true"; echo "m.txt merge=x" >>.gitattributes; '
        "echo 0 >m.txt; git add .gitattributes m.txt; git commit -qm m; git branch other; "
        "echo 1 >m.txt; git commit -qam ours; git stash -q; git switch -q other; "
        "echo 2 >m.txt; git commit -qam theirs; git switch -q -",
        ("merge", "other"),
    ),
    "core.sshCommand": Trap(
        'git config core.sshCommand "touch $CANARY; false"; '
        "git config remote.ssh.url ssh://localhost/x",
        _FETCH,
    ),
    "remote.x.uploadpack": Trap(
        'git config remote.near.url "$TREE"; '
        'git config remote.near.uploadpack "touch $CANARY; false"',
        _FETCH,
    ),
    "a remote of ext::": Trap(
        'git config protocol.ext.allow always; git config remote.far.url "ext::touch $CANARY"',
        _FETCH,
    ),
    "credential.helper": Trap(
        'git config credential.helper "!touch $CANARY; :"',
        ("credential", "fill"),
        "protocol=https\nhost=example.com\n\n",
    ),
    "core.editor": Trap('git config core.editor "touch $CANARY; :"', ("commit", "--allow-empty")),
    "gpg.program": Trap(
        'printf \'#!/bin/sh\\ntouch "%s"\\n\' "$CANARY" >.gpg; chmod +x .gpg; '
        'git config gpg.program "$TREE/.gpg"; git config commit.gpgSign true',
        _COMMIT,
    ),
    "include.path": Trap(
        'printf \'[core]\\n\\tfsmonitor = "touch %s; :"\\n\' "$CANARY" >.included; '
        'git config include.path "$TREE/.included"',
        ("status",),
    ),
    "core.worktree": Trap(
        'mkdir -p .elsewhere; printf \'[core]\\n\\tfsmonitor = "touch %s; :"\\n\' "$CANARY" '
        '>.elsewhere/config; git config include.path "$TREE/.elsewhere/config"; '
        'git config core.worktree "$TREE/.elsewhere"',
        ("status",),
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_naively_a_program_that_is_configured_inside_runs_on_this_machine(
    naive: Naive, name: str
) -> None:
    trap = TRAPS[name]
    naive.attack(trap.plant)
    naive.git(*trap.trigger, stdin=trap.stdin)
    assert naive.canary.exists()


@pytest.fixture(scope="module")
def trapped(house: House) -> House:
    """The house with all traps planted."""
    for name, trap in TRAPS.items():
        house.attacked(trap.plant, name.replace(":", ""))
    return house


def test_no_verb_runs_a_program_that_is_configured_inside(trapped: House) -> None:
    trapped.look()


def test_no_git_of_the_person_sees_what_is_configured_inside(trapped: House) -> None:
    asking = {trap for trap in TRAPS.values() if trap.trigger[0] in _ASKING}
    for trap in asking:
        plain_git(trapped.tree("auth"), *trap.trigger, stdin=trap.stdin)
        trapped.require_silence(" ".join(trap.trigger))
    trapped.require_unharmed()
