"""`config show`: the effective value of every key and where it came from; `config check`: what
`up` would refuse of it."""

from pathlib import PurePosixPath
from typing import Any

from runner.adapters.files import untrusted, yaml_file
from runner.adapters.git.tree import Committed
from runner.controller.instance.copies import copies_of
from runner.controller.lifecycle.preflight import obstacles
from runner.controller.project import CONFIG_FILE, Project, user_config_path
from runner.domain.cache.produces import products_of
from runner.domain.config.validate import plain
from runner.domain.config.value import Value
from runner.domain.errors import ConfigError, RunnerError
from runner.domain.text import below_each_other, sentences


def effective(project: Project) -> list[Value]:
    """Every key of treedock.yaml, then the user's own, with its effective value."""
    written = yaml_file.load(project.repository.checkout / CONFIG_FILE) or {}
    wanted = plain(project.config)
    values = [_inferred(project, value) for value in _flat(wanted, written, CONFIG_FILE)]
    values += _known_products(project)
    path = user_config_path()
    own = yaml_file.load(path) if path.exists() else {}
    of_person = _flat(
        plain(project.user),
        own or {},
        str(path),
    )
    chosen = {value.key: value for value in of_person if value.value is not None}
    return [value for value in values if value.key not in chosen] + list(chosen.values())


def check(project: Project) -> list[str]:
    """Raises ConfigError with everything of treedock.yaml that base does not have, and everything
    else for which `up` would refuse new instances. Returns what
    only may be wrong: a folder that an earlier set-up step may make, files that are not there."""
    base = project.base
    commit = project.repository.git.newest(base)[0]
    committed = Committed(project.repository.git, commit or base)
    missing = [
        (f"{CONFIG_FILE}: {key}: {base} has no folder {folder!r}", certain)
        for key, folder, certain in _folders(project)
        if committed.kind(folder) in ("absent", "file")
    ]
    blocked = [sentences(error.message, error.hint) for error in obstacles(project)]
    if blocked:
        raise ConfigError(below_each_other(*blocked))
    faults = _image_faults(project, committed, base) + [text for text, sure in missing if sure]
    if faults:
        raise ConfigError(
            below_each_other(*faults),
            hint=f"Instances start from what is committed: commit it to {base}, or name another.",
        )
    doubted = [f"{text}; does a set-up step make it?" for text, _ in missing]
    return doubted + _doubted_files(project, committed) + _doubted_copies(project)


def _folders(project: Project) -> list[tuple[str, str, bool]]:
    """(key, folder, whether it has to be in base) of everything that runs in a folder."""
    config = project.config
    found = [(f"setup[{at}].in", step.folder, at == 0) for at, step in enumerate(config.setup)]
    later = [("database.in", config.database.folder)] if config.database else []
    later += [(f"services.{name}.in", service.folder) for name, service in config.services.items()]
    later += [(f"gates[{at}].in", gate.folder) for at, gate in enumerate(config.gates)]
    return found + [(key, folder, not config.setup) for key, folder in later]


def _doubted_files(project: Project, committed: Committed) -> list[str]:
    config, repository = project.config, project.repository
    patterns = config.database.inputs if config.database else []
    found = [
        f"{CONFIG_FILE}: database.inputs: no file matches {pattern!r}, so no change of one counts"
        for pattern in patterns
        if not repository.git.files(repository.checkout, [pattern], untracked=True)
    ]
    for at, step in enumerate(config.setup):
        for name in step.key:
            path = str(PurePosixPath(step.folder) / name)
            if committed.kind(path) in ("absent", "folder"):
                where = f"{CONFIG_FILE}: setup[{at}].key: {project.base} has no file {path!r}"
                found.append(f"{where}, so every instance runs the step")
    return found


def _doubted_copies(project: Project) -> list[str]:
    """Files to rewrite that are not copied at all, and links that are left out."""
    env, copies = project.config.env, copies_of(project)
    checkout = project.repository.checkout
    tracked = project.repository.git.tracked_here(checkout, env.rewrite)
    where = f"{CONFIG_FILE}: env.rewrite"
    found = [f"{where}: {name!r} is tracked, so it stays as it is" for name in sorted(tracked)]
    found += [
        f"{where}: there is no {name!r} in {checkout}"
        for name in env.rewrite
        if name not in tracked and untrusted.kind(checkout, name) == "absent"
    ]
    return found + copies.remarks


def _image_faults(project: Project, committed: Committed, base: str) -> list[str]:
    image = project.config.image
    build = None if isinstance(image, str) else image.build
    if build is None:
        return []
    where = f"{CONFIG_FILE}: image.build"
    if committed.kind(build.context) in ("absent", "file"):
        return [f"{where}.context: {base} has no folder {build.context!r}"]
    dockerfile = str(PurePosixPath(build.context) / build.dockerfile)
    if committed.kind(dockerfile) in ("absent", "folder"):
        return [f"{where}.dockerfile: {base} has no file {dockerfile!r}"]
    return []


def _flat(values: dict[str, Any], written: Any, origin: str, prefix: str = "") -> list[Value]:
    """Nested keys as 'a.b.c'; a key that is written in the file comes from it."""
    found = []
    for key, value in values.items():
        inner = written.get(key) if isinstance(written, dict) else None
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            found += _flat(value, inner, origin, f"{path}.")
        else:
            found.append(Value(path, value, "default" if inner is None else origin))
    return found


def _known_products(project: Project) -> list[Value]:
    """What is known of steps that do not say themselves what they make."""
    found, steps = [], project.config.setup
    products = products_of(steps, untrusted.reader(project.repository.checkout))
    for at, (step, product) in enumerate(zip(steps, products, strict=True)):
        if product and step.produces is None:
            origin = f"known of: {step.run}"
            for name, paths in (("produces", product.paths), ("key", product.key)):
                inside = [str(PurePosixPath(path).relative_to(step.folder)) for path in paths]
                found.append(Value(f"setup[{at}].{name}", inside, origin))
    return found


def _inferred(project: Project, value: Value) -> Value:
    if value.key == "name" and value.value is None:
        return Value("name", project.name, "the checkout folder's name")
    if value.key == "base" and value.value is None:
        try:
            return Value("base", project.base, "the repository's branches")
        except RunnerError as error:
            return Value("base", None, error.message)
    return value
