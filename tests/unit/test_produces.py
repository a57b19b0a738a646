"""What is known of a set-up step without asking anybody: what it makes, and what decides it."""

import pytest

from runner.domain import config
from runner.domain.config import Step
from runner.domain.errors import ConfigError
from runner.domain.produces import (
    Product,
    done_key,
    downloads_of,
    folders_of,
    product_of,
    products_of,
    snapshot_key,
)

LOCKS = {
    "uv.lock": b"1",
    "poetry.lock": b"1",
    "package-lock.json": b"1",
    "pnpm-lock.yaml": b"1",
    "bun.lock": b"1",
    "yarn.lock": b"1",
    "requirements.txt": b"flask==3.0 \\\n    --hash=sha256:00\n",
    "dev.txt": b"pytest\n",
    "package.json": b"{}",
    "pyproject.toml": b"[project]\nname = 'a'\n",
}


def step(run: str, **more: object) -> Step:
    return Step.model_validate({"run": run, **more})


@pytest.mark.parametrize(
    ("run", "paths", "key"),
    [
        ("uv sync", ".venv", "uv.lock pyproject.toml"),
        ("uv sync --frozen --extra dev", ".venv", "uv.lock pyproject.toml"),
        ("poetry install --no-interaction", ".venv", "poetry.lock pyproject.toml"),
        (
            "POETRY_VIRTUALENVS_IN_PROJECT=true uvx --from 'poetry<3' poetry install",
            ".venv",
            "poetry.lock pyproject.toml",
        ),
        ("npm ci", "node_modules", "package-lock.json package.json"),
        ("npm install --no-audit", "node_modules", "package-lock.json package.json"),
        ("pnpm install --frozen-lockfile", "node_modules", "pnpm-lock.yaml package.json"),
        (
            'npx --yes pnpm@9 install --frozen-lockfile --store-dir "$HOME/.pnpm-store"',
            "node_modules",
            "pnpm-lock.yaml package.json",
        ),
        ("bun install", "node_modules", "bun.lock package.json"),
        ("yarn", "node_modules", "yarn.lock package.json"),
        ("yarn install --frozen-lockfile", "node_modules", "yarn.lock package.json"),
        (
            "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt -r dev.txt",
            ".venv",
            "requirements.txt dev.txt",
        ),
        ("python -m venv env && env/bin/pip install -r dev.txt", "env", "dev.txt"),
        (
            "uv venv --allow-existing && uv pip install -r pyproject.toml",
            ".venv",
            "pyproject.toml",
        ),
    ],
)
def test_a_plain_call_of_a_known_manager_says_it_all(run: str, paths: str, key: str) -> None:
    product = product_of(step(run), LOCKS.get)
    assert product == Product(tuple(paths.split()), tuple(key.split()))
    assert folders_of(step(run)) == product.paths


@pytest.mark.parametrize(
    "run",
    [
        "./install.sh",
        "npm ci && npm run build",
        "npm ci; echo done",
        "npm ci --prefix other",
        "npm install left-pad",
        "npm ci & sleep 1",
        "npm ci > log",
        "uv sync --project other",
        "uv sync --all-packages",
        "uv",
        "cd app && npm ci",
        "pip install -r requirements.txt",
        "python -m venv /opt/env && /opt/env/bin/pip install -r dev.txt",
        "python -m venv .venv && .venv/bin/pip install -r ../other.txt",
        "python -m venv .venv && .venv/bin/pip install flask",
        "echo 'unbalanced",
    ],
)
def test_nothing_is_known_of_a_line_that_does_more_or_something_else(run: str) -> None:
    assert product_of(step(run), LOCKS.get) is None


@pytest.mark.parametrize(
    ("run", "files"),
    [
        ("uv sync", {"uv.lock": None}),
        ("npm ci", {"package.json": b'{"workspaces": ["a"]}'}),
        ("npm ci", {"package.json": b'{"scripts": {"postinstall": "node make.js"}}'}),
        ("npm ci", {"package.json": b'{"dependencies": {"@prisma/client": "6"}}'}),
        ("pnpm install", {"pnpm-workspace.yaml": b"packages: [a]"}),
        ("yarn", {".yarnrc.yml": b"nodeLinker: pnp"}),
        ("python -m venv e && e/bin/pip install -r dev.txt", {"dev.txt": b"-r other.txt\n"}),
        ("python -m venv e && e/bin/pip install -r dev.txt", {"dev.txt": b"-e .\n"}),
        ("python -m venv e && e/bin/pip install -r dev.txt", {"dev.txt": b"./lib\n"}),
        ("python -m venv e && e/bin/pip install -r dev.txt", {"dev.txt": b"lib @ file:lib\n"}),
    ],
)
def test_nothing_is_known_where_the_key_files_do_not_tell_all(
    run: str, files: dict[str, bytes | None]
) -> None:
    assert product_of(step(run), (LOCKS | files).get) is None


def test_paths_are_relative_to_the_folder_of_the_step() -> None:
    files = {"app/uv.lock": b"1", "app/pyproject.toml": b"1", "web/my.lock": b"2"}
    assert product_of(step("uv sync", **{"in": "app"}), files.get) == Product(
        ("app/.venv",), ("app/uv.lock", "app/pyproject.toml")
    )
    named = step("./install", produces=["lib", "bin"], key=["my.lock"], **{"in": "web"})
    assert product_of(named, files.get) == Product(("web/lib", "web/bin"), ("web/my.lock",))
    assert folders_of(named) == ("web/lib", "web/bin")


def test_nothing_is_kept_where_the_step_says_so_or_a_key_file_is_missing() -> None:
    assert product_of(step("npm ci", produces=[]), LOCKS.get) is None
    assert folders_of(step("npm ci", produces=[])) == ()
    assert product_of(step("./i", produces=["lib"], key=["absent"]), LOCKS.get) is None


def test_of_two_steps_that_make_one_folder_the_first_counts() -> None:
    found = products_of([step("uv sync"), step("uv sync --frozen"), step("npm ci")], LOCKS.get)
    assert [bool(product) for product in found] == [True, False, True]


@pytest.mark.parametrize(
    "setup",
    [
        [{"run": "./i", "produces": ["lib"]}],
        [{"run": "./i", "key": ["lock"]}],
        [{"run": "./i", "produces": ["../lib"], "key": ["lock"]}],
        [{"run": "./i", "produces": ["."], "key": ["lock"]}],
        [{"run": r, "produces": [p], "key": ["lock"]} for r, p in (("a", "lib"), ("b", "lib/x"))],
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(setup: list[dict[str, object]]) -> None:
    with pytest.raises(ConfigError, match="setup"):
        config.validate({"setup": setup}, "treedock.yaml")


def test_a_step_is_to_be_run_again_when_its_line_or_its_lock_file_changes() -> None:
    npm = step("npm ci")

    def key(run: Step, files: dict[str, bytes]) -> str:
        return done_key(run, product_of(run, files.get), files.get)

    keys = [key(npm, LOCKS), key(step("npm install"), LOCKS)]
    keys += [key(npm, LOCKS | {"package-lock.json": b"2"}), key(step("./other"), LOCKS)]
    assert len(set(keys)) == 4
    assert key(npm, LOCKS) == key(npm, LOCKS | {"README.md": b"new"})
    uv = step("uv sync")
    assert key(uv, LOCKS) != key(uv, LOCKS | {"pyproject.toml": b"[project.scripts]"})
    assert key(npm, LOCKS) != key(npm, LOCKS | {".npmrc": b"omit=dev"})


def test_a_snapshot_is_named_by_everything_that_decides_it() -> None:
    def key(setup: list[Step], files: dict[str, bytes], ground: str = "image") -> str:
        return snapshot_key(setup, len(setup) - 1, products_of(setup, files.get), files.get, ground)

    npm, uv, codegen = step("npm ci"), step("uv sync"), step("./codegen")
    keys = [
        key([npm], LOCKS),
        key([npm], LOCKS, "other image"),
        key([npm], LOCKS | {"package-lock.json": b"2"}),
        key([codegen, npm], LOCKS),
    ]
    assert len(set(keys)) == 4
    assert key([uv, npm], LOCKS) == key([npm], LOCKS)
    assert key([uv, npm], LOCKS | {"uv.lock": b"2"}) == key([npm], LOCKS)


@pytest.mark.parametrize(
    ("line", "caches"),
    [
        ("npm ci", [".npm"]),
        ("python3 -m venv .venv && .venv/bin/pip install -r requirements.txt", [".cache/pip"]),
        ("npx --yes pnpm@9 install --frozen-lockfile", [".npm", ".pnpm-store"]),
        ("uv sync && (cd web; bun install)", [".bun/install/cache", ".cache/uv"]),
        ("./install-npm", []),
        ("make", []),
    ],
)
def test_download_caches_are_those_of_the_managers_that_a_line_names(
    line: str, caches: list[str]
) -> None:
    assert downloads_of(Step(run=line)) == tuple(f"~/{path}" for path in caches)
