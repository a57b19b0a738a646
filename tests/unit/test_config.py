"""treedock.yaml: what it may hold, and what is said about everything else."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.adapters.files import yaml_file
from runner.domain.config.project import project_name
from runner.domain.config.schema import schema
from runner.domain.config.validate import validate, validate_user
from runner.domain.errors import ConfigError
from runner.domain.instance.environment import values_of
from runner.domain.sizes import parse_size, shown_size


def refusal(text: str) -> str:
    """What is said about this treedock.yaml."""
    with pytest.raises(ConfigError) as caught:
        validate(yaml.safe_load(text), "treedock.yaml")
    return caught.value.message


def test_an_empty_file_is_all_defaults() -> None:
    empty = validate(None, "treedock.yaml")
    assert empty.worktrees == "trees"
    assert empty.branch == "feature/{id}"
    assert {name: str(ports) for name, ports in empty.ports.items()} == {
        "backend": "9100-9114",
        "frontend": "9200-9214",
    }
    assert empty.slots == empty.limits.instances == 15


def test_the_file_of_the_readme_is_understood_whole() -> None:
    text = """
    version: 1
    name: shop
    image: {build: {context: ., dockerfile: Dockerfile, args: {A: "1"}}}
    ports: {backend: 9100-9114, frontend: 9200-9214, storybook: 9300-9314}
    overflow: dynamic
    env: {copy: [.env], rewrite: [.mcp.json], set: {URL: "http://localhost:${BACKEND_PORT}"}}
    setup: [{run: "uv sync", in: app/server}, {run: "npm ci"}]
    verify: "true"
    services:
      backend: {run: serve, in: app, port: backend, ready: {http: /health}, restart: on-failure}
    database: {engine: sqlite, path: app/server/app.db, reset: ./scripts/reset_db.sh}
    test: "uv run pytest -q"
    limits: {memory: 1.5g, cpus: 0.5, disk_free: 512m}
    """
    read = validate(yaml.safe_load(text), "treedock.yaml")
    assert read.setup[0].folder == "app/server"
    assert read.env.copy_ == [".env"]
    assert read.services["backend"].ready.http == "/health"
    assert read.limits.memory == 3 * 2**29


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nam: shop", "nam: unknown key; did you mean `name`?"),
        ("limits: {memroy: 2g}", "limits.memroy: unknown key; did you mean `memory`?"),
        ("env: {copi: [.env]}", "env.copi: unknown key; did you mean `copy`?"),
        ("setup: [{run: x, inn: app}]", "setup[0].inn: unknown key; did you mean `in`?"),
        (
            "services: {web: {run: x, redy: {}}}",
            "services.web.redy: unknown key; did you mean `ready`?",
        ),
        (
            "services: {web: {run: x, ready: {timout: 5}}}",
            "services.web.ready.timout: unknown key; did you mean `timeout`?",
        ),
        (
            "image: {build: {dokerfile: D}}",
            "image.build.dokerfile: unknown key; did you mean `dockerfile`?",
        ),
        ("database: {pth: a.db}", "database.pth: unknown key; did you mean `path`?"),
    ],
)
def test_an_unknown_key_is_named_with_its_path_and_the_nearest_known_one(
    text: str, said: str
) -> None:
    assert f"treedock.yaml: {said}" in refusal(text).splitlines()


def test_a_key_like_no_other_gets_no_suggestion() -> None:
    assert refusal("zzz: 1") == "treedock.yaml: zzz: unknown key"


def test_all_problems_are_told_at_once() -> None:
    assert len(refusal("nam: shop\nversion: 2\nlimits: {cpus: many}").splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("version: 2", "version"),
        ("name: [shop]", "name"),
        ("name: Shop", "name"),
        ("ports: 9100", "ports"),
        ("ports: {backend: 9100}", "ports.backend"),
        ("ports: {backend: 9114-9100}", "ports.backend"),
        ("setup: {run: x}", "setup"),
        ("setup: [uv sync]", "setup[0]"),
        ("services: {web: serve}", "services.web"),
        ("services: {web: {}}", "services.web.run"),
        ("services: {web: {run: x, restart: always}}", "services.web.restart"),
        ("services: {web: {run: x, ready: {http: health}}}", "services.web.ready.http"),
        ("limits: {instances: 0}", "limits.instances"),
        ("limits: {memory: lots}", "limits.memory"),
        ("overflow: sometimes", "overflow"),
        ("branch: feature", "branch"),
        ("branch: '{id}..{id}'", "branch"),
        ("branch: '-{id}'", "branch"),
        ("env: {set: {'A B': x}}", "env.set.A B"),
        ("env: {set: {A: 1}}", "env.set.A"),
        ('env: {set: {A: "1\\n2"}}', "env.set.A"),
        ("test: ''", "test"),
    ],
)
def test_a_wrong_type_or_value_is_named_with_its_path(text: str, key: str) -> None:
    assert refusal(text).startswith(f"treedock.yaml: {key}: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 2", "version: needs 1, not 2"),
        ("name: [shop]", "name: needs text, not a list"),
        ("ports: 9100", "ports: needs keys and values, not 9100"),
        ("setup: {run: x}", "setup: needs a list ('- ' before each entry), not keys and"),
        ("setup:", "setup: needs a list ('- ' before each entry), not nothing"),
        ("setup: [uv sync]", "setup[0]: needs keys and values, not 'uv sync'"),
        ("services: {web: {}}", "services.web.run: is missing; it has to be there"),
        ("limits: {instances: many}", "limits.instances: needs a whole number, not 'many'"),
        ("limits: {instances: 1.5}", "limits.instances: needs a whole number, not 1.5"),
        ("limits: {instances: 0}", "limits.instances: needs at least 1, not 0"),
        ("limits: {cpus: many}", "limits.cpus: needs a number, not 'many'"),
        ("limits: {cpus: 0}", "limits.cpus: needs more than 0, not 0"),
        ("overflow: maybe", "overflow: needs 'refuse' or 'dynamic', not 'maybe'"),
        ("env: {set: {A: 1}}", "env.set.A: needs text, not 1; put it into quotes"),
        ("env: {set: {A: yes}}", "env.set.A: needs text, not true; YAML reads yes, no, on"),
        ("services: {w: {run: x, restart: no}}", "services.w.restart: needs 'no' or 'on-failure',"),
        ("gates: [{run: x, services: 7}]", "gates[0].services: needs true or false, not 7"),
        ("test: ''", "test: must not be empty"),
        ("image: {name: 5}", "image.name: needs text, not 5; put it into quotes"),
        ("image: 5", "image: needs text, not 5; put it into quotes"),
        (f"name: {'x' * 50}", f"name: '{'x' * 39}... does not fit the pattern"),
    ],
)
def test_a_wrong_value_is_told_with_what_was_given_and_what_is_wanted(text: str, said: str) -> None:
    (line,) = refusal(text).splitlines()
    assert line.startswith(f"treedock.yaml: {said}")


@pytest.mark.parametrize("key", ["worktrees", "env", "setup", "services", "database", "image"])
@pytest.mark.parametrize("path", ["/etc", "../x", "a/../../x", "~/x", ".git/hooks", "a\0b", ""])
def test_a_path_that_leaves_the_checkout_is_refused(key: str, path: str) -> None:
    values: dict[str, Any] = {
        "worktrees": path,
        "env": {"copy": [path]},
        "setup": [{"run": "x", "in": path}],
        "services": {"web": {"run": "x", "in": path}},
        "database": {"path": path},
        "image": {"build": {"context": path}},
    }
    with pytest.raises(ConfigError, match=f"treedock.yaml: {key}"):
        validate({key: values[key]}, "treedock.yaml")


def test_keys_that_weaken_the_sandbox_are_refused_in_a_repository() -> None:
    said = refusal("sandbox: {publish: 0.0.0.0}")
    assert said == (
        "treedock.yaml: sandbox: keys that weaken the sandbox are read from your own "
        "configuration only, never from a repository."
    )
    own = validate_user({"sandbox": {"publish": "0.0.0.0"}}, "config.yaml")
    assert own.sandbox.publish == "0.0.0.0"


def test_a_users_own_file_has_no_other_keys() -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml: sandbox\.mount: .*`mounts`"):
        validate_user({"sandbox": {"mount": []}}, "config.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ports: {}", "at least one range"),
        ("ports: {a: 9100-9109, b: 9105-9114}", "a 9100-9109 and b 9105-9114 overlap"),
        ("ports: {a: 9100-9109, b: 9109-9118}", "overlap"),
        ("ports: {a: 9100-9109, b: 9200-9214}", "a has 10, b has 15"),
        ("services: {web: {run: x, port: wbe}}", "'wbe' is not one of backend, frontend"),
        ("image: python", "write {name: python}"),
        ("image: {}", "either `name` or `build`"),
        ("image: {name: a, build: {}}", "either `name` or `build`"),
    ],
)
def test_what_does_not_fit_together_is_refused(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize("text", ["- a\n- b", "just words", "5"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    assert "keys and values" in refusal(text)


@pytest.mark.parametrize(
    ("size", "value"),
    [
        *((0, 0), (1024, 1024), ("512", 512), ("1k", 1024), ("512m", 2**29), ("2g", 2**31)),
        *(("2G", 2**31), ("2GiB", 2**31), ("1.5g", 3 * 2**29), (" 1t ", 2**40)),
    ],
)
def test_sizes_are_powers_of_1024(size: object, value: int) -> None:
    assert parse_size(size) == value


@pytest.mark.parametrize("size", ["", "g", "-1g", "2x", "1e9", None, True, 1.5, [1]])
def test_what_is_no_size_is_refused(size: object) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(size)


def test_the_schema_documents_every_key() -> None:
    whole = schema()
    pictures = {"": whole, **whole["$defs"]}
    undocumented = [
        f"{name}.{key}"
        for name, graph in pictures.items()
        for key, field in graph.get("properties", {}).items()
        if not field.get("description")
    ]
    assert undocumented == []
    assert "in" in whole["$defs"]["Step"]["properties"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("shop", "shop"),
        ("Corner Shop", "corner-shop"),
        ("2048", "p-2048"),
        ("_x_", "x"),
        ("ü", "p"),
        ("a" * 30 + "-b", "a" * 30),
    ],
)
def test_a_folders_name_is_made_to_fit(folder: str, name: str) -> None:
    assert project_name(folder) == name
    assert validate({"name": name}, "treedock.yaml").name == name


def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "treedock.yaml"
    path.write_text("limits:\n  cpus: 1\n  cpus: 2\n")
    with pytest.raises(ConfigError, match="'cpus' stands twice") as caught:
        yaml_file.load(path)
    assert "line 3" in caught.value.message


def test_an_anchor_may_be_merged_into_more_than_one_place(tmp_path: Path) -> None:
    path = tmp_path / "treedock.yaml"
    path.write_text("a: &x {k: 1}\nb:\n  <<: *x\n  j: 2\n")
    assert yaml_file.load(path) == {"a": {"k": 1}, "b": {"k": 1, "j": 2}}


@pytest.mark.parametrize("data", [b"a: [", b"a:\n\t- b", b"\xff\xfe\xfa", b"!!python/name:os.x"])
def test_a_file_that_is_no_yaml_is_a_configuration_error(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "treedock.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="cannot be read"):
        yaml_file.load(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: 2026-11-30", "not 2026-11-30; YAML reads it as a date: put it into quotes"),
        ("name: 2026-11-30 10:00:00", "not 2026-11-30 10:00:00; YAML reads it as a date"),
        ("on: {push: 1}", "treedock.yaml: the key true has to be text; YAML reads yes, no, on"),
        ("env: {set: {no: x}}", "env.set: the key false has to be text; YAML reads yes, no, on"),
        ("limits: {memory: 1k}", "limits.memory: needs at least 16m, not"),
        ("limits: {memory: 5}", "limits.memory: needs at least 16m, not 5"),
        ("limits: {pids: 5}", "limits.pids: needs at least 16, not 5"),
        ("limits: {pids: 0512}", "YAML reads 0512 as 330: write 512, or put it into quotes"),
        ("limits: {pids: 1:30}", "YAML reads 1:30 as 90: it has to be one number"),
        (f"env: {{set: {{A: {'x' * 140_000}}}}}", "env.set.A: has 136 KiB; a command or variable"),
        (f"verify: {'x' * 140_000}", "verify: has 136 KiB; a command or variable"),
    ],
)
def test_what_yaml_made_of_a_value_is_said_as_it_was_written(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(yaml_file.parse(text.encode(), "treedock.yaml"), "treedock.yaml")
    assert said in caught.value.message
    assert len(caught.value.message) < 500


def test_a_value_may_not_grow_too_long_by_what_is_filled_in() -> None:
    added = {"A": "x" * 70_000, "B": "${A}${A}"}
    with pytest.raises(ConfigError, match=r"env\.set\.B has 136 KiB"):
        values_of("auth", {}, added)


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (8192, "8.0 KiB"), (2**30 * 12, "12 GiB")],
)
def test_sizes_are_shown_in_a_unit_of_which_there_is_one(size: int, shown: str) -> None:
    assert shown_size(size) == shown
