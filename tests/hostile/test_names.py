"""Names that control a terminal, or that look like options."""

import pytest

from tests.hostile.layouts import RAW, House, Naive
from tests.real_git import git

pytestmark = pytest.mark.engine

# Sets the title, clears the screen, goes up a line, writes from right to left, C1 controls.
EVIL = ("a\x1b]0;evil\x07", "b\x1b[2J\x1b[H", "c\nnext", "d\r", "e\u202etxt.exe", "f\u009b2J")
DASHES = ("--force", "-rf", "--upload-pack=x", "-")
# What git lets through in the name of a ref.
REFS = ("x\u202ey", "x\u009b2J", "x\u2028y", "x\u0085y")


def _quoted(name: str) -> str:
    return "'" + name + "'"


MADE = "; ".join(
    f"mkdir -p -- {_quoted('./' + name)}.d; echo 1 >{_quoted('./' + name)}.d/{_quoted(name)}; "
    f"echo 1 >{_quoted('./' + name)}"
    for name in (*EVIL, *DASHES)
)


def test_naively_a_file_name_controls_the_terminal(naive: Naive) -> None:
    naive.attack(MADE)
    names = [path.name for path in naive.tree.iterdir()]
    assert any(RAW.search(name) for name in names)


def test_naively_a_branch_name_and_a_message_control_the_terminal(naive: Naive) -> None:
    naive.attack(
        f"git branch {_quoted(REFS[0])}; git commit -q --allow-empty -m \"$(printf 'x\\033[2J')\""
    )
    assert RAW.search(git(naive.folder, "branch"))
    assert RAW.search(git(naive.folder, "log", "-1", "--format=%s", "feature/auth"))


def test_untracked_and_changed_names_are_shown_escaped(house: House) -> None:
    house.attacked(MADE)
    answers = house.look()
    assert r"a\x1b]0;evil\x07" in answers["review"].stdout
    assert r"c\x0anext" in answers["review"].stdout
    plain = house.cli("clean", "auth", "--dry-run")  # names ten of them
    assert plain.exit_code == 4
    assert RAW.search(plain.stderr) is None
    assert r"a\x1b]0;evil\x07" in plain.stderr
    assert house.cli("review", "auth", "--files").exit_code == 0


def test_committed_names_messages_and_authors_are_shown_escaped(house: House) -> None:
    house.attacked(MADE)
    house.attacked(
        "git add -A . && git -c user.name=\"$(printf 'Eve\\033[2J')\" "
        "commit -qm \"$(printf 'subject\\033[2J\\n\\nbody\\033]0;evil\\007')\" "
        "--author \"$(printf 'Eve\\033[2J <e@e>')\""
    )
    answers = house.look(
        ("conflicts",), ("review", "auth", "--files"), ("review", "auth", "--stat")
    )
    assert answers["sync"].exit_code == 0, answers["sync"].stderr
    assert r"\x1b" in house.cli("review", "auth").stdout
    plain = house.cli("clean", "auth")  # names the commits that would be lost
    assert plain.exit_code == 4
    assert "subject" in plain.stderr
    house.require_calm("clean", plain)


def test_a_refused_submodule_with_an_odd_name_is_shown_escaped(house: House) -> None:
    head = house.head()
    house.attacked(
        "name=$(printf 'sub\\033[2J'); "
        'git update-index --add --cacheinfo "160000,$(git rev-parse HEAD),$name"; '
        "git commit -qm x"
    )
    answers = house.look()
    assert r"sub\x1b[2J" in answers["sync"].stderr
    house.attacked(f"git reset -q {head}")
    assert house.cli("sync", "auth").exit_code == 0


def test_odd_branches_inside_come_out_or_are_left_there_and_are_shown_escaped(
    house: House,
) -> None:
    for name in REFS:
        house.attacked(f"git branch {_quoted(name)}")
    house.attacked(
        "cd /run/treedock/git/refs/heads; id=$(git rev-parse HEAD); "
        "for name in \"$(printf 'a\\033[2J')\" \"$(printf 'a\\nb')\" -rf --force x.lock 'a b' "
        "'a..b' '@{x'; do echo $id >\"./$name\"; done"
    )
    house.look()
    kept = git(house.folder, "for-each-ref", "--format=%(refname)", "refs/treedock/auth/inside")
    assert f"refs/treedock/auth/inside/heads/{REFS[0]}" in kept.split("\n")
    house.attacked(f"git switch -qc {_quoted('z' + REFS[1])}")
    house.look()
    house.attacked("git switch -q feature/auth")


def test_what_a_service_prints_and_what_logs_are_called_is_shown_escaped(house: House) -> None:
    house.attacked(
        "cd /run/treedock/run; printf 'x\\033]0;evil\\007\\033[2J\\r\\n' >>service.backend.log; "
        "for name in \"service.$(printf 'a\\033[2J').log\" \"$(printf 'b\\nc').log\" -rf.log "
        '"service.$(printf \'z\\033]0;evil\\007\').log"; do echo hello >"./$name"; done'
    )
    house.look(("logs", "auth", "backend"), ("logs", "auth", "nothing"), ("logs", "auth", "--json"))
    house.attacked("rm -f /run/treedock/run/*.log")
