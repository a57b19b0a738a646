"""init, demo, doctor, config show, config schema, config check, schema json, version."""

from runner.controller.project import CONFIG_FILE, Place, Project, Repository, open_project
from runner.domain.errors import BadRequest, NotFound
from runner.domain.events import Emit
from runner.domain.requests.onboarding import (
    CheckConfig,
    Checked,
    ConfigSchema,
    Demo,
    Diagnosis,
    Examine,
    Init,
    JsonSchema,
    Schemas,
    ShowConfig,
    Values,
    Version,
    Versions,
    Written,
)
from runner.domain.requests.request import answer_of
from runner.domain.text import listed


def init(repository: Repository, request: Init, emit: Emit) -> Written:
    from runner.controller.onboarding.init import init

    found = init(repository.checkout, force=request.force)
    return Written(path=str(found.path), found=found.sentences)


def demo(place: Place, request: Demo, emit: Emit) -> Written:
    from runner.controller.onboarding.demo import copy_demo

    folder = place.folder / request.folder
    copy_demo(folder)
    return Written(path=str(folder.absolute()))


def doctor(place: Place, request: Examine, emit: Emit) -> Diagnosis:
    from runner.controller.onboarding.doctor import examine

    try:
        repository = place.repository()
    except NotFound:
        project = None  # outside of a repository the machine alone is looked at
    else:
        there = (repository.checkout / CONFIG_FILE).exists()
        project = open_project(repository) if there else None
    return Diagnosis(findings=tuple(examine(project, fix=request.fix, emit=emit)))


def config_show(project: Project, request: ShowConfig, emit: Emit) -> Values:
    from runner.controller.onboarding.config_report import effective

    return Values(values=tuple(effective(project)))


def config_schema(place: Place, request: ConfigSchema, emit: Emit) -> Schemas:
    from runner.domain.config.schema import schema

    return Schemas(schemas={CONFIG_FILE: schema()})


def config_check(project: Project, request: CheckConfig, emit: Emit) -> Checked:
    from runner.controller.onboarding.config_report import check

    return Checked(name=project.name, warnings=tuple(check(project)))


def schema_json(place: Place, request: JsonSchema, emit: Emit) -> Schemas:
    from runner.controller.table import VERBS, request_of
    from runner.domain.requests.schema import schema_of

    for verb in request.verbs:
        if verb not in VERBS:
            known = listed(list(VERBS), len(VERBS))
            raise BadRequest(f"There is no verb {verb!r}.", hint=f"There are: {known}.")
    verbs = request.verbs or VERBS
    return Schemas(schemas={verb: schema_of(verb, answer_of(request_of(verb))) for verb in verbs})


def version(place: Place, request: Version, emit: Emit) -> Versions:
    from runner.version import __version__

    return Versions(version=__version__)
