"""`conflicts`: the real merge says who conflicts with whom, and nothing of it stays."""

import json
import os
import random
import subprocess
import tempfile
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import pytest

from runner.adapters.git import rehearsal, uncommitted
from runner.adapters.git.repository import Git
from runner.controller.landing.conflicts import _rehearse, conflicts, recommended, simulate
from runner.domain.errors import NotFound, Refused
from runner.domain.landing.comparison import Compared, Conflicts, Pair
from tests.real_git import commit, git, make_repository, write
from tests.running import Answer, Cli
from tests.shop import Shop

pytestmark = pytest.mark.deep

LINES = "".join(f"line {n}\n" for n in range(20))


def compare(shop: Shop, *ids: str) -> Conflicts:
    shop.events.clear()
    return conflicts(shop.project, ids or shop.repository.records.ids(), shop.emit)[0]


def one(seen: Conflicts, id: str) -> Compared:
    return next(found for found in seen.compared if found.id == id)


def pair(seen: Conflicts, a: str, b: str) -> Pair:
    return next(found for found in seen.pairs if (found.a, found.b) == (a, b))


def changed(number: int, text: str) -> str:
    """The twenty lines with one of them changed."""
    return LINES.replace(f"line {number}\n", f"{text}\n")


@pytest.fixture
def several(shop: Shop) -> Shop:
    """Instances auth, login and pay of a project with one file of twenty lines."""
    commit(shop.repo, {"app.txt": LINES})
    for id in ("auth", "login", "pay"):
        shop.up(id)
    return shop


def test_only_a_real_conflict_is_one(several: Shop) -> None:
    commit(several.tree("auth"), {"app.txt": changed(2, "auth"), "only-auth": "1"})
    commit(several.tree("login"), {"app.txt": changed(2, "login")})
    commit(several.tree("pay"), {"app.txt": changed(18, "pay")})
    seen = compare(several)
    assert [(found.id, found.conflict, found.files) for found in seen.compared] == [
        ("auth", False, ()),
        ("login", False, ()),
        ("pay", False, ()),
    ]
    assert seen.pairs == [
        Pair("auth", "login", True, ("app.txt",), ("app.txt",)),
        Pair("auth", "pay", False, ("app.txt",), ()),
        Pair("login", "pay", False, ("app.txt",), ()),
    ]


def test_a_conflict_with_base_names_the_files(several: Shop) -> None:
    commit(several.tree("auth"), {"app.txt": changed(2, "auth"), "fine": "1"})
    commit(several.repo, {"app.txt": changed(2, "main")})
    seen = compare(several)
    assert (one(seen, "auth").conflict, one(seen, "auth").files) == (True, ("app.txt",))
    assert seen.base_commit == git(several.repo, "rev-parse", "main").strip()


def test_the_recommended_order_lets_most_land_and_shows_why(several: Shop) -> None:
    commit(several.tree("auth"), {"app.txt": changed(2, "auth").replace("line 18", "auth")})
    commit(several.tree("login"), {"app.txt": changed(2, "login")})
    commit(several.tree("pay"), {"app.txt": changed(18, "pay")})
    order = compare(several).order
    assert order.ids == ("login", "pay", "auth")
    assert (order.lands, order.given_lands) == (2, 1)
    (left,) = order.remaining
    assert (left.id, left.base, left.conflicts_with) == ("auth", False, ("login", "pay"))
    assert (left.files, left.in_any_order) == (("app.txt",), True)
    assert [(clash.a, clash.b) for clash in order.always] == [("auth", "login"), ("auth", "pay")]


def test_a_conflict_with_base_stays_in_any_order_unless_another_resolves_it(several: Shop) -> None:
    commit(several.tree("auth"), {"app.txt": changed(2, "auth")})
    commit(several.repo, {"app.txt": changed(2, "main")})
    order = compare(several, "auth", "pay").order
    assert [(left.id, left.base, left.in_any_order) for left in order.remaining] == [
        ("auth", True, True)
    ]
    tree = several.tree("pay")
    git(tree, "merge", "--quiet", "main")
    git(tree, "merge", "--quiet", "--strategy=ours", "feature/auth")
    seen = compare(several, "auth", "pay")
    assert one(seen, "auth").conflict is True
    assert seen.order.ids == ("pay", "auth")
    assert (seen.order.lands, seen.order.always) == (2, ())


def test_an_instance_comes_behind_the_one_it_is_built_on(several: Shop) -> None:
    commit(several.tree("pay"), {"a": "1"})
    git(several.tree("auth"), "merge", "--quiet", "feature/pay")
    commit(several.tree("auth"), {"b": "1"})
    assert compare(several, "auth", "pay").order.ids == ("pay", "auth")


def test_equal_heads_and_nothing_new_are_no_conflict(several: Shop) -> None:
    head = commit(several.tree("auth"), {"a": "1"})
    git(several.tree("login"), "merge", "--quiet", "feature/auth")
    seen = compare(several)
    assert {found.head for found in seen.compared[:2]} == {head}
    assert [found.nothing_new for found in seen.compared] == [False, False, True]
    assert not any(found.conflict for found in seen.pairs)
    assert (seen.order.ids, seen.order.lands) == (("auth", "login"), 2)


def test_an_unrelated_history_is_said(several: Shop) -> None:
    tree = several.tree("auth")
    git(tree, "checkout", "--quiet", "--orphan", "other")
    head = commit(tree, {"alone": "x"})
    git(tree, "branch", "--force", "feature/auth")
    git(tree, "checkout", "--quiet", "feature/auth")
    commit(several.tree("login"), {"b": "1"})
    seen = compare(several)
    auth = one(seen, "auth")
    assert (auth.head, auth.conflict) == (head, None)
    assert auth.error is not None
    assert "shares no history with main" in auth.error.message
    assert [(found.a, found.b) for found in seen.pairs] == [("login", "pay")]
    assert seen.order.ids == ("login",)
    heads = {
        id: git(several.repo, "rev-parse", f"feature/{id}").strip() for id in ("auth", "login")
    }
    assert recommended(several.repository.git, seen.base_commit, heads) == ["login", "auth"]


def test_uncommitted_work_takes_part(several: Shop) -> None:
    commit(several.repo, {"gone.txt": "1"})
    for id in ("auth", "login"):
        git(several.tree(id), "merge", "--quiet", "main")
    write(several.tree("auth"), {"app.txt": changed(2, "auth"), "new.txt": "auth"})
    (several.tree("auth") / "gone.txt").unlink()
    write(several.tree("login"), {"app.txt": changed(18, "login"), "new.txt": "login"})
    git(several.tree("login"), "add", "new.txt")
    write(several.tree("login"), {"gone.txt": "2"})
    seen = compare(several, "auth", "login")
    assert [found.dirty_included for found in seen.compared] == [True, True]
    found = pair(seen, "auth", "login")
    assert found.both_touch == ("app.txt", "gone.txt", "new.txt")
    assert found.files == ("gone.txt", "new.txt")


def test_what_is_ignored_takes_no_part(several: Shop) -> None:
    commit(several.tree("auth"), {".gitignore": "*.log\n", "kept.log": "1"})
    write(several.tree("auth"), {"x.log": "noise"})
    assert not one(compare(several), "auth").dirty_included
    git(several.tree("auth"), "rm", "--quiet", "--cached", "kept.log")
    write(several.tree("login"), {"kept.log": "login"})
    seen = compare(several)
    assert one(seen, "auth").dirty_included
    assert pair(seen, "auth", "login").both_touch == ()


def files_of(shop: Shop) -> dict[str, bytes]:
    """Every object, index and ref of the repository."""
    kept = [path for path in (shop.repo / ".git").rglob("*") if path.is_file()]
    return {
        str(path): path.read_bytes() for path in kept if not {"treedock", "logs"} & {*path.parts}
    }


def test_nothing_stays_of_it(several: Shop) -> None:
    commit(several.tree("auth"), {"app.txt": changed(2, "auth")})
    commit(several.tree("login"), {"app.txt": changed(2, "login")})
    write(several.tree("auth"), {"app.txt": changed(2, "more"), "new": "1"})
    git(several.tree("auth"), "add", "new")
    compare(several)  # syncs
    before = files_of(several)
    assert compare(several).pairs[0].conflict
    assert files_of(several) == before
    assert git(several.tree("auth"), "status", "--short") == " M app.txt\nA  new\n"


def test_merge_union_is_honoured_as_base_has_it(several: Shop) -> None:
    commit(
        several.repo, {".gitattributes": "*.md merge=union\n", "sub/.gitattributes": "", "a.md": ""}
    )
    commit(several.repo, {"sub/.gitattributes": "*.txt merge=union\n", "sub/a.txt": "1\n"})
    for id in ("auth", "login"):
        git(several.tree(id), "merge", "--quiet", "main")
        commit(several.tree(id), {"a.md": f"{id}\n", "sub/a.txt": f"1\n{id}\n"})
    seen = compare(several, "auth", "login")
    assert pair(seen, "auth", "login") == Pair("auth", "login", False, ("a.md", "sub/a.txt"), ())
    assert seen.order.lands == 2
    repository = several.repository.git
    merged = rehearsal.merge_trees(repository, seen.compared[0].head or "", "feature/login", "main")
    assert merged.tree is not None
    assert git(several.repo, "show", f"{merged.tree}:a.md") == "auth\nlogin\n"


def test_merge_trees_names_the_files_in_conflict(several: Shop) -> None:
    commit(several.tree("auth"), {"app.txt": changed(2, "auth"), "way": "file"})
    commit(several.tree("login"), {"app.txt": changed(2, "login"), "way/there": "folder"})
    repository = several.repository.git
    ours, theirs = (repository.branch(f"feature/{id}") or "" for id in ("auth", "login"))
    merged = rehearsal.merge_trees(repository, ours, theirs, "main")
    assert merged.tree is None
    assert merged.files == ("app.txt", "way")


def test_a_merge_driver_that_a_branch_could_steer_is_refused(several: Shop) -> None:
    git(several.repo, "config", "merge.x.driver", "./run %A")
    with pytest.raises(Refused, match=r"merge\.x\.driver"):
        compare(several)


def test_no_filter_runs_and_its_files_are_named(several: Shop, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {canary}\ncat\n")
    program.chmod(0o755)
    tree = several.tree("auth")
    commit(tree, {".gitattributes": "*.bin filter=x.y\n", "old.bin": "1"})
    compare(several)  # syncs
    for key in ("clean", "smudge", "process"):
        git(several.repo, "config", f"filter.x.y.{key}", str(program))
    git(several.repo, "config", "filter.x.y.required", "true")
    write(tree, {"a.bin": "1", "b.txt": "2", "old.bin": "2"})
    auth = one(compare(several), "auth")
    assert auth.error is None
    assert auth.dirty_included
    assert [file.path for file in auth.skipped] == ["a.bin", "old.bin"]
    assert {file.reason for file in auth.skipped} == {"filter x.y"}
    assert not canary.exists()


def test_line_ends_are_converted_as_a_commit_would(several: Shop) -> None:
    commit(several.repo, {".gitattributes": "*.txt text eol=crlf\n"})
    for id in ("auth", "login"):
        git(several.tree(id), "merge", "--quiet", "main")
    for id, text in {"auth": changed(2, "auth"), "login": changed(18, "login")}.items():
        (several.tree(id) / "app.txt").write_bytes(text.replace("\n", "\r\n").encode())
    seen = compare(several, "auth", "login")
    assert [found.dirty_included for found in seen.compared] == [True, True]
    assert not pair(seen, "auth", "login").conflict


def test_what_is_no_plain_file_is_named_and_nothing_waits(several: Shop, tmp_path: Path) -> None:
    tree = several.tree("auth")
    write(tmp_path, {"outside/a": "a stranger's"})
    commit(tree, {"fifo": "1", "big": "1", "folder/a": "1"})
    compare(several)  # syncs, while all of them are files
    for name in ("fifo", "big", "folder/a"):
        (tree / name).unlink()
    os.mkfifo(tree / "fifo")
    with (tree / "big").open("wb") as file:
        file.truncate(10 * 2**40)
    (tree / "folder").rmdir()
    (tree / "folder").symlink_to(tmp_path / "outside")
    write(tree, {"nested/file": "1"})
    git(tree / "nested", "init", "--quiet")
    write(tree, {"app.txt": "changed"})
    seen = compare(several)
    auth = one(seen, "auth")
    assert auth.error is None
    assert {file.path: file.reason for file in auth.skipped} == {
        "big": "over 50 MB",
        "fifo": "neither file nor symlink",
        "nested/": "a repository of its own",
    }
    assert auth.dirty_included


def test_a_folder_swapped_for_a_symlink_leads_nothing_out(several: Shop, tmp_path: Path) -> None:
    tree, outside, copies = several.tree("auth"), tmp_path / "outside", tmp_path / "copies"
    outside.mkdir()
    copies.mkdir()
    (tree / "way").symlink_to(outside)
    taken = uncommitted._Copies(tree, copies)
    taken.take("way")
    (tree / "way").unlink()
    write(tree, {"way/file": "1"})
    (tree / "way/link").symlink_to("/etc")
    taken.take("way/file")
    taken.take("way/link")
    taken.link()
    assert taken.copied == ["way/file", "way/link"]
    assert [file.path for file in taken.skipped] == ["way"]
    assert list(outside.iterdir()) == []


def test_files_of_another_branch_that_is_checked_out_inside_are_left_out(several: Shop) -> None:
    compare(several)
    inside = several.repository.records.folder("auth") / "git"
    (inside / "HEAD").write_text("ref: refs/heads/other\n")
    write(several.tree("auth"), {"new": "1"})
    assert not one(compare(several), "auth").dirty_included
    assert any("HEAD is not on feature/auth" in text for text in several.warnings)


def test_symlinks_and_modes_are_kept(several: Shop) -> None:
    tree = several.tree("auth")
    (tree / "link").symlink_to("/etc/passwd")
    write(tree, {"run": "#!/bin/sh\n"})
    (tree / "run").chmod(0o755)
    repository = several.repository.git
    head = repository.branch("feature/auth") or ""
    with rehearsal.rehearsal(repository, head) as place:
        found = uncommitted.snapshot(place, tree, head)
        listed = place.run("ls-tree", found.commit, "link", "run").decode()
        target = place.run("cat-file", "blob", f"{found.commit}:link")
    assert [line.split(" ")[0] for line in listed.splitlines()] == ["120000", "100755"]
    assert target == b"/etc/passwd"


def test_an_unfinished_merge_is_seen_as_the_files_are(several: Shop) -> None:
    commit(several.tree("auth"), {"app.txt": changed(2, "auth")})
    commit(several.repo, {"app.txt": changed(2, "main")})
    done = subprocess.run(["git", "merge", "main"], cwd=several.tree("auth"), capture_output=True)
    assert done.returncode == 1
    auth = one(compare(several), "auth")
    assert auth.error is None
    assert auth.dirty_included


def test_an_instance_that_cannot_be_synced_is_compared_as_it_is_known(several: Shop) -> None:
    head = commit(several.tree("auth"), {"app.txt": changed(2, "auth")})
    commit(several.tree("login"), {"app.txt": changed(2, "login")})
    compare(several)
    (several.tree("auth") / ".git").write_text("gitdir: /elsewhere\n")
    seen = compare(several)
    auth = one(seen, "auth")
    assert auth.error is not None
    assert "is not the file that git wrote there" in auth.error.message
    assert (auth.head, auth.dirty_included) == (head, False)
    assert pair(seen, "auth", "login").conflict


def test_a_missing_branch_does_not_hide_the_others(several: Shop) -> None:
    commit(several.tree("pay"), {"a": "1"})
    git(several.repo, "update-ref", "-d", "refs/heads/feature/auth")
    seen = compare(several)
    assert (one(seen, "auth").head, one(seen, "auth").conflict) == (None, None)
    error = one(seen, "auth").error
    assert error
    assert error.code == NotFound.code
    assert seen.order.ids == ("pay",)


def test_an_unknown_instance_is_named(several: Shop) -> None:
    with pytest.raises(NotFound, match="no instance 'nobody'"):
        compare(several, "auth", "nobody")


def test_the_order_of_commits_alone_needs_no_instance(several: Shop) -> None:
    heads = {}
    for id, number in {"x": 2, "y": 2, "z": 18}.items():
        git(several.repo, "checkout", "--quiet", "-b", id, "main")
        heads[id] = commit(several.repo, {"app.txt": changed(number, id)})
    base = git(several.repo, "rev-parse", "main").strip()
    order = simulate(several.repository.git, base, heads)
    assert order.ids == ("x", "z", "y")
    assert order.lands == 2
    assert simulate(several.repository.git, base, {}).ids == ()


def test_forks_are_those_that_git_names(tmp_path: Path) -> None:
    repo = make_repository(tmp_path / "woven")
    chance = random.Random(7)
    tree = git(repo, "mktree").strip()
    known: list[str] = []
    for number in range(30):
        parents = chance.sample(known[-6:], min(len(known), chance.choice([0, 1, 1, 1, 2])))
        given = [part for parent in parents for part in ("-p", parent)]
        known.append(git(repo, "commit-tree", tree, *given, "-m", str(number)).strip())
    with rehearsal.rehearsal(Git(repo / ".git"), known[0]) as place:
        found = place.histories(known[-14:])
        newer = place.histories(known[-1:] * 2)
    plain = 0
    for one, other in combinations(known[-14:], 2):
        done = subprocess.run(
            ["git", "merge-base", "--all", one, other], cwd=repo, capture_output=True, text=True
        )
        best = done.stdout.split()
        assert found.related(one, other) == bool(best)
        assert not best or found.forks[one, other] in best
        assert (one, other) in found.crossed or len(best) <= 1
        plain += (one, other) not in found.crossed
    assert plain > 10
    assert newer.holds(known[-1], known[-1])


@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_merged_would_have_merged_cleanly(tmp_path: Path, seed: int) -> None:
    repo = make_repository(tmp_path / "many")
    chance = random.Random(seed)
    names = [f"{folder}/{name}" for folder in ("a", "b", "b/c", "") for name in ("x", "y", "z")]
    commit(repo, {name.lstrip("/"): f"{name}\n{LINES}" for name in names})
    heads = {}
    for id in "ABCDEFGH":
        git(repo, "checkout", "--quiet", "-b", id, "main")
        for name in chance.sample(names, 2):
            path = repo / name.lstrip("/")
            what = chance.choice(["change", "change", "delete", "move", "add", "add"])
            if what == "change":
                path.write_text(path.read_text() + id)
            elif what == "add":
                path.with_name(f"new-{chance.randrange(3)}").write_text(id)
            else:
                text = path.read_text()
                path.unlink()
                if what == "move":
                    write(repo, {f"moved-{chance.randrange(2)}/{path.name}": text})
        git(repo, "add", "--all")
        git(repo, "commit", "--quiet", "--allow-empty", "--message", id)
        heads[id] = git(repo, "rev-parse", "HEAD").strip()
    with rehearsal.rehearsal(Git(repo / ".git"), heads["A"]) as place:
        seen = _rehearse(place, git(repo, "rev-parse", "main").strip(), heads)
        two = list(combinations(heads, 2))
        real = place.merges([(heads[a], heads[b]) for a, b in two])
    assert len(seen.pairs) == len(two)
    for pair, merged in zip(two, real, strict=True):
        assert (seen.pairs[pair] is None) == (merged.tree is not None), pair


def test_a_repository_of_sha256_works(tmp_path: Path) -> None:
    repo = tmp_path / "long"
    repo.mkdir()
    git(repo, "init", "--quiet", "--initial-branch=main", "--object-format=sha256")
    base = commit(repo, {"app.txt": LINES})
    heads = {}
    for id, number in {"x": 2, "y": 2, "z": 18}.items():
        git(repo, "checkout", "--quiet", "-b", id, "main")
        heads[id] = commit(repo, {"app.txt": changed(number, id)})
    assert simulate(Git(repo / ".git"), base, heads).ids == ("x", "z", "y")


def test_what_a_killed_one_left_goes_with_the_next(several: Shop) -> None:
    old = Path(tempfile.mkdtemp(prefix="treedock-rehearsal-"))
    young = Path(tempfile.mkdtemp(prefix="treedock-rehearsal-"))
    write(old, {"objects/x": "1"})
    os.utime(old, (0, 0))
    compare(several)
    assert not old.exists()
    assert young.exists()
    young.rmdir()


def run(shop: Shop, *arguments: str) -> Answer:
    return Cli(shop.repo)(*arguments, env={"DOCKER_HOST": "unix:///nowhere"})


def test_names_are_exact_in_json_and_escaped_in_the_table(several: Shop) -> None:
    names = {"new\nline", "esc\x1b[2J", "-rf"}
    for id in ("auth", "login"):
        commit(several.tree(id), dict.fromkeys(names, id))
        with open(os.fsencode(several.tree(id)) + b"/bad-\xff", "wb") as file:  # noqa: PTH123
            file.write(id.encode())
    compare(several)  # syncs, with the engine
    answer = run(several, "conflicts", "--json")
    assert answer.exit_code == 0, answer.stderr
    (document,) = answer.json["bases"]
    assert set(document["pairs"][0]["files"]) == names | {"bad-\udcff"}
    same = json.loads(json.dumps(asdict(compare(several))))
    assert document == same
    shown = run(several, "conflicts")
    assert shown.exit_code == 0, shown.stderr
    assert "new\\x0aline" in shown.stdout
    assert "esc\\x1b[2J" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_the_table_says_it_in_sentences(several: Shop) -> None:
    commit(several.tree("auth"), {"app.txt": changed(2, "auth")})
    commit(several.tree("login"), {"app.txt": changed(2, "login")})
    compare(several)  # syncs, with the engine
    shown = run(several, "conflicts")
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.splitlines() == [
        "ID     WITH main",
        "auth   clean",
        "login  clean",
        "pay    nothing new",
        "",
        "auth and login conflict in app.txt",
        "",
        "Recommended order: auth",
        "1 of 2 land without conflict in it.",
        "login conflicts with auth in app.txt, in any order",
        "Merge them with: treedock merge auth",
    ]


def test_what_a_merge_would_refuse_as_uncommitted_is_said_before_the_command(several: Shop) -> None:
    commit(several.tree("auth"), {"app.txt": changed(2, "auth")})
    compare(several)
    (several.tree("auth") / "notes.txt").write_text("x")
    assert run(several, "conflicts").stdout.splitlines()[-2:] == [
        "Commit first what is uncommitted in auth",
        "Merge them with: treedock merge auth",
    ]


def test_an_engine_that_is_away_is_an_error_beside_the_answer(several: Shop) -> None:
    commit(several.tree("auth"), {"app.txt": changed(2, "auth")})
    shown = run(several, "conflicts")
    assert shown.exit_code == 5
    assert "auth   clean        as last synced" in shown.stdout
    assert shown.stderr.count("The container engine does not answer.") == 1
    answer = run(several, "conflicts", "--json")
    (failed, *others) = answer.json["bases"][0]["compared"]
    assert failed["error"]["code"] == "engine_unavailable"
    assert not any(other["error"] for other in others)
    assert answer.refused == {failed["id"]: "engine_unavailable"}
