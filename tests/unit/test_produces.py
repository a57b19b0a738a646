"""What is known of a set-up step without asking anybody: what it makes, and what decides it."""

import pytest

from runner.domain.cache.produces import (
    Product,
    done_key,
    downloads_of,
    folders_of,
    product_of,
    products_of,
    snapshot_key,
)
from runner.domain.config.sections import Step
from runner.domain.config.validate import adapter_of, validate
from runner.domain.errors import ConfigError

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
    made: Step = adapter_of(Step).validate_python({"run": run, **more})
    return made


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
        ("pnpm install", {"pnpm-workspace.yaml": b""}),
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


PIP = "python -m venv e && e/bin/pip install -r dev.txt"
UV_PIP = "uv venv && uv pip install -r pyproject.toml"
BUILT = b'[build-system]\nrequires = ["%s"]\n'


@pytest.mark.parametrize(
    ("run", "files"),
    [
        ("uv sync", {"pyproject.toml": b'[tool.uv.sources]\nlib = { path = "lib" }\n'}),
        ("uv sync", {"pyproject.toml": b"[tool.uv.sources]\nlib = [{ workspace = true }]\n"}),
        ("uv sync", {"pyproject.toml": b'[tool.uv.workspace]\nmembers = ["lib"]\n'}),
        ("uv sync", {"pyproject.toml": b'[tool.uv]\nfind-links = ["wheels"]\n'}),
        ("uv sync", {"pyproject.toml": b'[project]\ndependencies = ["lib @ file:lib"]\n'}),
        ("uv sync", {"pyproject.toml": b'[[tool.uv.index]]\nname = "a"\nurl = "wheels"\n'}),
        ("uv sync", {"pyproject.toml": b"not = TOML = at all"}),
        ("uv sync", {"uv.lock": b'source = { directory = "lib" }\n'}),
        ("uv sync", {"uv.lock": b'source = { editable = "lib" }\n'}),
        ("uv sync", {"uv.lock": b'source = { path = "lib-1.0.whl" }\n'}),
        ("uv sync --no-editable", {"pyproject.toml": BUILT % b"hatchling"}),
        ("uv sync --find-links=./wheels", {}),
        ("uv sync --config-file=other.toml", {"other.toml": b""}),
        ("uv sync", {"pyproject.toml": BUILT % b"maturin>=1"}),
        ("uv sync", {"pyproject.toml": BUILT % b"setuptools", "setup.py": b"setup()"}),
        ("uv sync", {"pyproject.toml": BUILT % b"hatchling" + b"[tool.hatch.build.hooks.a]\n"}),
        ("poetry install", {"pyproject.toml": b'[tool.poetry.dependencies]\na = {path = "a"}\n'}),
        (
            "poetry install",
            {"pyproject.toml": b'[tool.poetry.group.dev.dependencies]\na = {path = "a"}\n'},
        ),
        ("poetry install", {"poetry.lock": b'[package.source]\ntype = "directory"\nurl = "a"\n'}),
        (UV_PIP, {"pyproject.toml": b'[tool.uv.sources]\nlib = { path = "lib" }\n'}),
        (UV_PIP, {"pyproject.toml": b'[project]\ndynamic = ["dependencies"]\n'}),
        *((PIP, {"dev.txt": b"pytest\n%s\n" % line}) for line in (
            b"libs/foo", b"libs/foo[all]", b"foo.whl", b"foo-1.0.tar.gz", b"./libs/foo", b"../foo",
            b"/workspace/libs/foo", b"foo @ ./libs/foo", b"foo @ libs/foo", b"foo@file:///workspace",
            b"${LIBS}/foo", b"foo @ \\\n  ./libs/foo", b"git+file:///workspace", b"-c limits.txt",
            b"--find-links wheels", b"-rother.txt",
        )),
        *(("npm ci", {"package.json": b'{"dependencies": {"lib": "%s"}}' % spec}) for spec in (
            b"file:lib", b"link:lib", b"./lib", b"../lib", b"lib-1.0.tgz", b"~/lib", b"portal:lib",
            b"workspace:*", b"git+file:///workspace/lib",
        )),
        ("npm ci", {"package.json": b'{"overrides": {"a": {"b": "file:lib"}}}'}),
        ("npm ci", {"package-lock.json": b'{"node_modules/a": {"resolved": "lib", "link": true}}'}),
        ("npm ci", {"package-lock.json": b'{"node_modules/a": {"resolved": "file:a.tgz"}}'}),
        ("npm ci", {"package.json": b'{"scripts": {"prepublish": "node make.js"}}'}),
        ("npm ci", {"package.json": b'{"scripts": {"dependencies": "node make.js"}}'}),
        ("npm ci", {"binding.gyp": b"{}"}),
        ("npm ci", {".npmrc": b"script-shell=./sh\n"}),
        ("npm ci", {".npmrc": b"git = tools/git\n"}),
        ("yarn", {".yarnrc": b'yarn-path "./yarn.js"\n'}),
        ("uv sync", {"uv.toml": b'find-links = ["wheels"]\n'}),
        ("uv sync", {"pyproject.toml": BUILT % b"setuptools", "setup.cfg": b"[options]\n"}),
        ("uv sync", {"pyproject.toml": BUILT % b"uv_build" + b"[tool.uv.build-backend.data]\n"}),
        (
            "poetry install",
            {"pyproject.toml": b'[tool.poetry.scripts]\na = {reference = "a", type = "file"}\n'},
        ),
        ("poetry install", {"pyproject.toml": b'[tool.poetry.build]\nscript = "build.py"\n'}),
        (
            "uv venv && uv pip install -r dev.txt",
            {"pyproject.toml": b'[tool.uv]\nfind-links = ["wheels"]\n'},
        ),
        ("npm ci --userconfig=ci.npmrc", {"ci.npmrc": b""}),
        ("pnpm install", {"pnpm-lock.yaml": b"  lib:\n    version: link:../lib\n"}),
        ("pnpm install", {"pnpm-lock.yaml": b"resolution: {directory: lib, type: directory}\n"}),
        ("pnpm install", {"package.json": b'{"pnpm": {"patchedDependencies": {"a": "a.patch"}}}'}),
        ("pnpm install", {".pnpmfile.cjs": b""}),
        ("pnpm install", {".npmrc": b"pnpmfile=hooks.cjs\n"}),
        ("bun install", {"package.json": b'{"patchedDependencies": {"a@1": "patches/a.patch"}}'}),
        ("bun install", {"bun.lock": b'{"packages": {"lib": ["lib@file:lib", {}]}}'}),
        ("yarn", {"package.json": b'{"resolutions": {"a": "file:lib"}}'}),
        ("yarn", {"yarn.lock": b'"lib@file:./lib":\n  version "1.0.0"\n'}),
    ],
)  # fmt: skip
def test_a_step_that_copies_something_of_the_checkout_is_not_shared_and_runs_again_with_its_lock(
    run: str, files: dict[str, bytes]
) -> None:
    here, installs = LOCKS | files, step(run)
    assert product_of(installs, here.get) is None
    before = done_key(installs, None, here.get)
    changed = {path: data + b"\n" for path, data in here.items()}
    assert done_key(installs, None, changed.get) != before
    assert done_key(installs, None, (here | {"README.md": b"new"}).get) == before


@pytest.mark.parametrize(
    ("run", "files"),
    [
        ("uv sync", {"pyproject.toml": BUILT % b"hatchling"}),
        ("uv sync", {"uv.lock": b'source = { registry = "https://index.example/simple" }\n'}),
        ("uv sync", {"uv.lock": b'source = { editable = "." }\n'}),
        ("uv sync", {"pyproject.toml": b'[tool.uv.sources]\na = {git = "https://a.org/a"}\n'}),
        ("poetry install", {"pyproject.toml": BUILT % b"poetry_core>=1.0"}),
        ("uv sync", {"setup.cfg": b"[flake8]\nmax-line-length = 100\n", "uv.toml": b""}),
        (
            "npm ci",
            {".npmrc": b"@a:registry=https://a.org/npm/\n//a.org/npm/:_authToken=${T}\nfund=false\n"},
        ),
        ("npm ci", {".npmrc": b"cafile=/etc/ssl/certs/ca.pem\ncache=${HOME}/.npm\n"}),
        (PIP, {"dev.txt": b"# all\n\nflask[async]>=3,<4 ; python_version > '3.8'  # web\n"}),
        (PIP, {"dev.txt": b"lib @ git+https://example.org/lib@1\nhttps://example.org/a.whl\n"}),
        ("npm ci", {"package.json": b'{"dependencies": {"a": "^1", "b": "npm:c@~2", "d": "e/f"}}'}),
        ("npm ci", {"package-lock.json": b'{"x": {"resolved": "https://example.org/a.tgz"}}'}),
        ("npm ci --cache=$HOME/.npm --loglevel=error", {}),
    ],
)  # fmt: skip
def test_what_comes_from_elsewhere_is_shared(run: str, files: dict[str, bytes]) -> None:
    assert product_of(step(run), (LOCKS | files).get)


def test_files_that_a_run_line_names_and_settings_that_a_manager_reads_decide_too() -> None:
    files = LOCKS | {"in.sh": b"1", "web/make.sh": b"1", "lib/made": b"1", "my.lock": b"1"}
    named = step(
        "sh ./in.sh && cd web && sh make.sh > ../lib/made", produces=["lib"], key=["my.lock"]
    )
    assert product_of(named, files.get) == Product(("lib",), ("my.lock", "in.sh", "web/make.sh"))
    settings = LOCKS | dict.fromkeys(("uv.toml", ".python-version", ".npmrc", "bunfig.toml"), b"")
    uv, bun = product_of(step("uv sync"), settings.get), product_of(step("bun i"), settings.get)
    assert uv is not None
    assert uv.key == ("uv.lock", "pyproject.toml", "uv.toml", ".python-version")
    assert bun is not None
    assert bun.key == ("bun.lock", "package.json", ".npmrc", "bunfig.toml")


def test_paths_are_relative_to_the_folder_of_the_step() -> None:
    files = {"app/uv.lock": b"1", "app/pyproject.toml": b"", "web/my.lock": b"2"}
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
        validate({"setup": setup}, "treedock.yaml")


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
    def key(setup: list[Step], files: dict[str, bytes], shared: str = "image") -> str:
        return snapshot_key(setup, len(setup) - 1, products_of(setup, files.get), files.get, shared)

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
