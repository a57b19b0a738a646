"""Which repository a folder belongs to."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import yaml

from runner.adapters.engine.protocol import Engine
from runner.adapters.git.repository import Git
from runner.adapters.store.records import Records, now
from runner.controller.cleanup.orphans import leftovers
from runner.controller.onboarding.config_report import effective
from runner.controller.project import open_project, open_repository
from runner.domain.errors import ConfigError, NotFound, Refused
from runner.domain.instance.record import Lineage, Record
from tests.real_git import commit, git, make_repository, write
from tests.running import Cli
from tests.shop import Shop

pytestmark = pytest.mark.deep


@pytest.fixture
def auth(repo: Path) -> Path:
    """The worktree of an instance, as `up` records it."""
    path = repo / "trees" / "auth"
    own = Git(repo / ".git")
    own.add_worktree(path, "feature/auth", own.branch("main"))
    own.check_out(path)
    Records(repo / ".git").write(
        Record(
            id="auth",
            project="shop",
            git=Lineage("feature/auth", "main", own.branch("main") or ""),
            checkout=str(repo),
            worktree=str(path),
            created_at=now(),
            ports={"backend": 9101},
        )
    )
    return path


def test_any_folder_of_a_checkout_opens_it(repo: Path) -> None:
    (repo / "a" / "b").mkdir(parents=True)
    for folder in (repo, repo / "a" / "b"):
        opened = open_repository(folder)
        assert (opened.checkout, opened.common_dir) == (repo, repo / ".git")
        assert opened.here is None


def test_outside_of_a_repository_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is not in a git repository") as caught:
        open_repository(tmp_path)
    assert "git init" in caught.value.hint


def test_a_bare_repository_is_refused(origin: Path) -> None:
    with pytest.raises(Refused, match="is a bare repository"):
        open_repository(origin)


def test_a_repository_without_commits_is_refused_by_its_base(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "empty")
    (folder / "treedock.yaml").write_text("version: 1\n")
    with pytest.raises(Refused, match="no commits yet"):
        _ = open_project(open_repository(folder)).base


def test_a_linked_worktree_can_be_the_checkout(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "--quiet", "-b", "second", str(tmp_path / "second"))
    opened = open_repository(tmp_path / "second")
    assert opened.checkout == tmp_path / "second"
    assert opened.common_dir == repo / ".git"
    assert opened.key == open_repository(repo).key


def test_a_worktree_of_a_bare_repository_can_be_the_checkout(origin: Path, tmp_path: Path) -> None:
    git(origin, "worktree", "add", "--quiet", str(tmp_path / "main"), "main")
    opened = open_repository(tmp_path / "main")
    assert (opened.checkout, opened.common_dir) == (tmp_path / "main", origin)


def test_a_separate_git_directory_is_found(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--separate-git-dir", "git", "work")
    opened = open_repository(tmp_path / "work")
    assert (opened.checkout, opened.common_dir) == (tmp_path / "work", tmp_path / "git")


def test_two_clones_have_different_keys(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(repo), "clone/shop")
    one, two = open_repository(repo), open_repository(tmp_path / "clone" / "shop")
    assert one.key != two.key
    assert open_project(one).name == open_project(two).name == "shop"


def test_a_checkout_reached_through_a_symlink_is_the_same(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repo)
    opened = open_repository(tmp_path / "link")
    assert (opened.checkout, opened.key) == (repo, open_repository(repo).key)


def test_inside_an_instance_the_project_is_opened_with_the_id(repo: Path, auth: Path) -> None:
    (auth / "src" / "deep").mkdir(parents=True)
    for folder in (auth, auth / "src" / "deep"):
        opened = open_repository(folder)
        assert (opened.checkout, opened.here) == (repo, "auth")


def test_a_repository_planted_inside_an_instance_does_not_become_the_project(
    repo: Path, auth: Path
) -> None:
    planted = make_repository(auth / "vendor" / "evil")
    commit(planted, {"treedock.yaml": "name: evil\n"})
    git(planted, "worktree", "add", "--quiet", "-b", "x", str(planted / "trees" / "x"))
    real = Records(repo / ".git").read("auth")
    assert real is not None
    tree = str(planted / "trees" / "x")
    Records(planted / ".git").write(replace(real, id="x", checkout=str(planted), worktree=tree))
    for folder in (planted, planted / "trees" / "x"):
        opened = open_repository(folder)
        assert (opened.checkout, opened.here) == (repo, "auth")
        assert open_project(opened).name == "shop"


def test_a_branchs_own_configuration_does_not_count(repo: Path, auth: Path) -> None:
    (auth / "treedock.yaml").write_text("name: other\n")
    assert open_project(open_repository(auth)).name == "shop"


def test_a_missing_configuration_says_how_to_write_one(repo: Path) -> None:
    (repo / "treedock.yaml").unlink()
    with pytest.raises(ConfigError, match=r"There is no treedock\.yaml") as caught:
        open_project(open_repository(repo))
    assert "treedock init" in caught.value.hint


@pytest.mark.parametrize("link", ["treedock.yaml", "trees"])
def test_configuration_and_worktrees_are_not_looked_for_behind_symlinks(
    repo: Path, tmp_path: Path, link: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "treedock.yaml").write_text("name: shop\n")
    target = tmp_path / "elsewhere"
    (repo / link).unlink(missing_ok=True)
    (repo / link).symlink_to(target / link if link == "treedock.yaml" else target)
    with pytest.raises(ConfigError, match="symlink"):
        open_project(open_repository(repo))


def test_the_users_own_file_is_read_and_checked(repo: Path) -> None:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "treedock" / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_text("sandbox: {capabilities: [SYS_PTRACE]}\n")
        assert open_project(open_repository(repo)).user.sandbox.capabilities == ["SYS_PTRACE"]
        path.write_text("sandbx: {}\n")
        with pytest.raises(ConfigError, match=r"config\.yaml: sandbx: unknown key.*`sandbox`"):
            open_project(open_repository(repo))
    finally:
        path.unlink()


@pytest.fixture
def own(repo: Path) -> Iterator[Path]:
    """The person's own configuration file."""
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "treedock" / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path
    path.unlink(missing_ok=True)


def test_the_person_may_have_worktrees_beside_the_checkout(shop: Shop, own: Path) -> None:
    commit(shop.repo, {".gitignore": "*.key\n"})
    write(shop.repo, {"a.key": "A"})
    shop.configure(env={"copy": ["a.key"], "rewrite": ["a.key"]})
    shop.up("pay")
    own.write_text("worktrees: '../{project}-trees'\n")
    record = shop.up("auth")
    beside = shop.repo.parent / "shop-trees"
    assert Path(record.worktree) == beside / "auth"
    assert (beside / "auth/a.key").read_text() == "A"
    assert shop.tree("pay") == shop.repo / "trees/pay"
    shop.up("pay")
    assert open_repository(beside / "auth").here == "auth"
    (shown,) = [value for value in effective(shop.project) if value.key == "worktrees"]
    assert (shown.value, shown.origin) == ("../{project}-trees", str(own))
    made = commit(beside / "auth", {"b": "1"})
    shop.up("auth")
    assert git(shop.repo, "rev-parse", "feature/auth").strip() == made
    found = leftovers(shop.project, cast(Engine, shop.engine), fix=False, emit=shop.emit)
    assert [finding.status for finding in found] == ["ok"]
    shop.clean("auth", force=True)
    assert not (beside / "auth").exists()
    shop.clean("pay")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("..", "holds the checkout itself"),
        (".", "holds the checkout itself"),
        (".git/trees", "lies in the git directory"),
        ("treedock.yaml", "is not a folder"),
        ("~/trees", "write the path out"),
        ("../{id}", "only {project} is filled in"),
    ],
)
def test_a_folder_that_worktrees_cannot_lie_in_is_refused(
    repo: Path, own: Path, text: str, said: str
) -> None:
    own.write_text(yaml.safe_dump({"worktrees": text}))
    with pytest.raises(ConfigError) as caught:
        open_project(open_repository(repo))
    assert said in caught.value.message
    assert f"{own}: worktrees" in caught.value.message


# --- base -----------------------------------------------------------------------------------


def base_of(repo: Path, config: str = "") -> str:
    (repo / "treedock.yaml").write_text(f"version: 1\n{config}")
    return open_project(open_repository(repo)).base


def test_base_is_the_configured_branch(repo: Path) -> None:
    git(repo, "branch", "develop")
    assert base_of(repo, "base: develop") == "develop"


def test_an_unknown_base_is_refused_with_the_known_branches(repo: Path) -> None:
    with pytest.raises(ConfigError, match="no branch 'develop'") as caught:
        base_of(repo, "base: develop")
    assert "main" in caught.value.hint


def test_base_may_be_known_to_the_origin_only(repo: Path, origin: Path) -> None:
    git(origin, "branch", "develop")
    git(repo, "fetch", "--quiet")
    assert base_of(repo, "base: develop") == "develop"


def test_base_is_what_the_origin_calls_its_head(repo: Path, origin: Path) -> None:
    git(origin, "branch", "trunk")
    git(origin, "symbolic-ref", "HEAD", "refs/heads/trunk")
    git(repo, "fetch", "--quiet")
    git(repo, "remote", "set-head", "origin", "--auto")
    assert base_of(repo) == "trunk"


def test_base_is_main_or_else_the_only_branch(repo: Path) -> None:
    git(repo, "branch", "other")
    assert base_of(repo) == "main"
    git(repo, "branch", "--move", "main", "master")
    with pytest.raises(ConfigError, match="not clear") as caught:
        base_of(repo)
    assert "master, other" in caught.value.hint
    git(repo, "branch", "--delete", "--force", "other")
    assert base_of(repo) == "master"


class CleanedMeanwhile(Git):
    """git of a repository in which an instance is gone right after its branch was listed."""

    def __init__(self, common_dir: Path, records: Records, instance: str) -> None:
        super().__init__(common_dir)
        self._records, self._instance = records, instance

    def branches(self) -> tuple[list[str], str | None]:
        found = super().branches()
        self._records.remove(self._instance)
        return found


def test_base_is_clear_while_another_process_cleans_an_instance(repo: Path, auth: Path) -> None:
    git(repo, "branch", "--move", "main", "master")
    project = open_project(open_repository(repo))
    records = project.repository.records
    project.repository.git = CleanedMeanwhile(project.repository.common_dir, records, "auth")
    assert project.base == "master"


# --- the command ----------------------------------------------------------------------------


def test_an_omitted_id_means_the_instance_we_stand_in(repo: Path, auth: Path, cli: Cli) -> None:
    assert cli("path", cwd=auth).stdout == f"{auth}\n"
    found = cli("path", "--json", cwd=auth).json
    assert (found["verb"], found["id"], found["path"]) == ("path", "auth", str(auth))
    nowhere = cli("path")
    assert nowhere.exit_code == 2
    assert "stand in its worktree" in nowhere.stderr


def test_an_error_is_said_once_and_in_json_on_stdout(cli: Cli, tmp_path: Path) -> None:
    said = cli("path", "auth", cwd=tmp_path)
    assert (said.exit_code, said.stdout) == (3, "")
    assert said.stderr.count("is not in a git repository") == 1
    asked = cli("path", "auth", "--json", cwd=tmp_path)
    assert (asked.exit_code, asked.stderr) == (3, "")
    assert asked.json["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("command", "name"), [("path", "../x"), ("down", "A B"), ("clean", "a" * 80), ("logs", "x/y")]
)
def test_a_bad_id_is_refused_before_anything_is_touched(
    cli: Cli, repo: Path, command: str, name: str
) -> None:
    answer = cli(command, name)
    assert answer.exit_code == 2
    assert "cannot be an instance's id" in answer.stderr
    assert not (repo / ".git" / "treedock").exists()
