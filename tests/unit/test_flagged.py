"""Which changed paths are shown first."""

import pytest

from runner.domain.landing.flagged import (
    SUBMODULE,
    SYMLINK,
    case_twins,
    leads_out,
    reads_text,
    reason_of,
)


@pytest.mark.parametrize(
    "path",
    [
        *(".github/workflows/ci.yml", ".gitlab-ci.yml", ".circleci/config.yml", "Jenkinsfile"),
        *(".vscode/tasks.json", "web/.vscode/settings.json", ".vscode/launch.json"),
        *(".devcontainer/devcontainer.json", ".devcontainer.json", ".claude/settings.json"),
        *("web/.claude/hooks/run.sh", ".cursor/mcp.json", ".mcp.json", "AGENTS.md"),
        *(".husky/pre-commit", ".githooks/post-merge", ".pre-commit-config.yaml", "lefthook.yml"),
        *("Makefile", "GNUmakefile", "api/Makefile", "rules.mk", "justfile", "Taskfile.yml"),
        *(".envrc", ".gitattributes", ".lfsconfig", ".gitmodules", "setup.py"),
        *("treedock.yaml", ".worktreeinclude", "Dockerfile", "api/Dockerfile.dev", "compose.yaml"),
        *("MAKEFILE", ".GitHub/Workflows/ci.yml", ".VSCode/Tasks.json"),
        *(".github/workflows/a\nb.yml", ".husky/\x1b[2J"),
    ],
)
def test_what_tools_run_later_is_flagged_with_a_reason(path: str) -> None:
    assert reason_of(path)


@pytest.mark.parametrize(
    "path",
    [
        *("src/app.py", "README.md", "tests/conftest.py", "docs/Makefiles.md", "makefiles/x"),
        *("fixtures/.github/workflows/ci.yml", "sub/treedock.yaml", "husky/pre-commit"),
        *("src/compose.py", "a\nMakefile", "xMakefile", "notes/claude.md.bak"),
    ],
)
def test_other_files_are_not_flagged(path: str) -> None:
    assert reason_of(path) is None


@pytest.mark.parametrize(
    ("old", "new", "flagged"),
    [
        ('{"version": "1"}', '{"version": "2"}', False),
        ('{"scripts": {"test": "jest"}}', '{"scripts": {"test": "jest"}, "name": "x"}', False),
        ('{"scripts": {"test": "jest"}}', '{"scripts": {"test": "curl evil"}}', True),
        ("", '{"scripts": {"postinstall": "x"}}', True),
        ('{"scripts": {"test": "jest"}}', "", True),
        ("{}", '{"packageManager": "yarn@https://x/y.js"}', True),
        ("{}", "not json", True),
        ("{}", "[" * 100_000, True),
        ("{}", "[]", True),
        ("{}", None, True),
    ],
)
def test_a_package_json_is_flagged_when_what_it_runs_changed(
    old: str, new: str | None, flagged: bool
) -> None:
    assert bool(reason_of("web/package.json", old=old, new=new)) is flagged


@pytest.mark.parametrize(
    ("old", "new", "flagged"),
    [
        ('[project]\nname = "a"', '[project]\nname = "b"', False),
        ("", '[build-system]\nbuild-backend = "evil"', True),
        ("", "= broken", True),
    ],
)
def test_a_pyproject_is_flagged_when_its_build_backend_changed(
    old: str, new: str, flagged: bool
) -> None:
    assert bool(reason_of("pyproject.toml", old=old, new=new)) is flagged


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        ("link", "src/a.py", False),
        ("a/link", "../b", False),
        ("a/link", "../../b", True),
        ("link", "..", True),
        ("link", "/etc/passwd", True),
        ("a/b/link", "x/../../../../y", True),
        ("link", "a//./b", False),
    ],
)
def test_a_link_out_of_the_checkout_is_flagged(path: str, target: str, out: bool) -> None:
    assert leads_out(path, target) is out
    assert bool(reason_of(path, mode=SYMLINK, new=target)) is out


def test_a_submodule_is_flagged() -> None:
    assert reason_of("lib", mode=SUBMODULE)


def test_texts_are_asked_for_only_where_they_decide() -> None:
    asked = [("web/package.json", "100644"), ("pyproject.toml", "100644"), ("x", SYMLINK)]
    assert all(reads_text(path, mode) for path, mode in asked)
    assert not reads_text("Makefile", "100644")


def test_names_that_a_file_system_without_case_cannot_tell_apart() -> None:
    paths = ["README", "readme", "docs/a", "Docs/b", "docs/c", "x"]
    assert case_twins([*paths, "caf\u00e9", "cafe\u0301"]) == {
        ("README", "readme"), ("Docs", "docs"), ("cafe\u0301", "caf\u00e9"),
    }  # fmt: skip
