"""`up`: bring instances up, side by side. Every step may be repeated, so an `up` that was killed
anywhere is repaired by the next one."""

from runner.adapters.files import disk
from runner.controller.disk_watch import space_watched
from runner.controller.instance import images
from runner.controller.instance.bring_up import Stage
from runner.controller.instance.container import ensure_stopped, prepare_folder
from runner.controller.instance.copies import Copies, copies_of
from runner.controller.instance.env_files import write_files
from runner.controller.instance.hooks import copy_hooks, omitted_hooks, reinstall_hooks
from runner.controller.instance.lost_data import forget_lost_data
from runner.controller.instance.ports import require_slots
from runner.controller.instance.private_git import ensure_own_git, require_no_submodules
from runner.controller.instance.sidecars import require_own_data
from runner.controller.instance.views import describe
from runner.controller.instance.worktree import (
    InstanceRequest,
    ensure_record,
    ensure_worktree,
    fetch_bases,
    fill,
)
from runner.controller.lifecycle import preflight
from runner.controller.lifecycle.bring_up import bring_up
from runner.controller.operation import Operation
from runner.controller.parallel import map_parallel
from runner.controller.project import Project
from runner.controller.sync.sync import sync
from runner.controller.volumes.layers import drop_layers
from runner.domain.data.initial import Share
from runner.domain.errors import LimitReached, Refused, RunnerError, unavailable
from runner.domain.events import Emit, Said, Up, UpFailed, Warned
from runner.domain.frozen import dataclass
from runner.domain.instance.container import WORKSPACE, Container
from runner.domain.instance.health import noexec_sentence
from runner.domain.instance.record import Failure, View, check_id
from runner.domain.text import listed, sentences


@dataclass(frozen=True)
class UpResult:
    """What became of one wish. `changed` is false for an instance that was up already."""

    view: View | None
    changed: bool
    error: RunnerError | None = None


@dataclass(frozen=True)
class _SharedInputs:
    """What all instances of one `up` stand on."""

    copies: Copies
    image: str
    containers: list[Container]
    fresh: bool


def up(
    project: Project,
    requests: list[InstanceRequest],
    emit: Emit,
    *,
    fetch: bool = True,
    fresh: bool = False,
    require_clean: bool = False,
) -> list[UpResult]:
    """Bring every wish up, in parallel; one that fails does not stop the others. `fresh`: the
    databases of new ones by `database.reset`, whatever is known; `require_clean`: refuse while
    anything is uncommitted in the main checkout.

    Raises RunnerError only for what concerns all of them, before anything is touched.
    """
    repository = project.repository
    for request in requests:
        check_id(request.id)
    base = project.base
    repository.git.require_safe_drivers()
    known = repository.records.ids()
    new = [request for request in requests if request.id not in known]
    copies = copies_of(project)
    if require_clean:
        preflight.require_clean(project, copies)
    if new:
        preflight.require_possible(project, copies)
        noexec = disk.noexec_mount(project.worktrees)
        if noexec:
            emit(Warned(noexec_sentence(noexec)))
        _say_what_is_uncommitted(project, copies, emit)
        omitted = omitted_hooks(project)
        if omitted:
            emit(Warned(sentences(*omitted)))
    _require_disk(project)
    repository.records.root.mkdir(mode=0o700, exist_ok=True)
    repository.claim()
    containers = repository.engine.containers()
    require_slots(repository, project.config, containers, len(new))
    if fetch and new:
        fetch_bases(project, new, emit)
    _bring_out_bases(project, new, emit)
    _require_no_submodules(project, new)
    image = images.ensure_image_at(project, lambda: _head(project, base), emit)
    for sidecar in project.config.sidecars.values() if new else ():
        images.ensure_sidecar_image(project, sidecar, emit)
    _prepare_git(project, emit)
    repository.engine.ensure_network()
    shared = _SharedInputs(copies, image, containers, fresh)
    with space_watched(project, emit):
        return map_parallel(lambda request: _bring_up(project, request, shared, emit), requests)


def _say_what_is_uncommitted(project: Project, copies: Copies, emit: Emit) -> None:
    try:
        names = preflight.uncommitted(project, copies)
    except RunnerError as error:  # it only informs
        unknown = "what is uncommitted in the main checkout is not known:"
        emit(Warned(sentences(unknown, error.message)))
        return
    if names:
        where = project.repository.checkout
        emit(Said(f"uncommitted in {where}, so not in new instances: {listed(names)}"))


def _bring_out_bases(project: Project, new: list[InstanceRequest], emit: Emit) -> None:
    """Who starts from the branch of another instance gets what was committed in that one."""
    wanted = {request.base for request in new if request.base}
    for record in project.repository.records.all() if wanted else ():
        if record.git.branch in wanted:
            other = Operation(project, record.id, emit)
            with other.locked():
                try:
                    sync(other)
                except RunnerError as error:
                    other.warn(
                        sentences("what was committed in it last is not here:", error.message)
                    )


def _bring_up(
    project: Project, request: InstanceRequest, shared: _SharedInputs, emit: Emit
) -> UpResult:
    operation = Operation(project, request.id, emit)
    operation.image = shared.image
    try:
        with operation.locked():
            changed = _work_on(operation, request, shared)
            return UpResult(describe(operation), changed)
    except OSError as error:
        return UpResult(None, changed=True, error=unavailable(error))
    except RunnerError as error:
        return UpResult(None, changed=True, error=error)


def _work_on(operation: Operation, request: InstanceRequest, shared: _SharedInputs) -> bool:
    ensure_record(operation, request, shared.containers)
    was_ready, share = operation.record.ready, _share(operation, fresh=shared.fresh)
    try:
        remade = _ensure_files(operation, shared.copies)
        require_own_data(operation)
        forget_lost_data(operation)
        running = bring_up(
            operation, until=Stage.SERVICES, share=share,
            before=lambda stage: _bring_commits(operation, stage, remade=remade),
        )  # fmt: skip
    except RunnerError as error:
        cause = operation.cause_of(error)
        operation.change(ready=False, error=Failure(cause.code, cause.message, cause.hint))
        operation.tell(UpFailed(cause.code, cause.message))
        raise
    if not operation.record.ready or operation.record.error:
        operation.change(ready=True, error=None)
    changed = running.changed or not was_ready
    if changed:
        operation.tell(Up(operation.record.worktree, WORKSPACE))
    return changed


def _ensure_files(operation: Operation, copies: Copies) -> bool:
    """Everything of the instance on the host. Returns whether its worktree was made again."""
    remade = ensure_worktree(operation)
    if remade:
        # What an earlier worktree held is gone: its dependencies, its database, its mount.
        operation.change(setup_done=(), verified=None, reset_key=None)
        ensure_stopped(operation)
        drop_layers(operation)
    prepare_folder(operation)
    write_files(operation, copies)
    if ensure_own_git(operation):
        ensure_stopped(operation)
        reinstall_hooks(operation)
    copy_hooks(operation)
    return remade


def _share(operation: Operation, *, fresh: bool) -> Share:
    """Only an instance whose files are not there yet makes golden states for others."""
    if fresh:
        return Share.NONE
    return Share.TAKE if operation.record.checked_out else Share.MAKE


def _bring_commits(operation: Operation, stage: Stage, *, remade: bool) -> None:
    """Before set-up, what was committed on the host while it was down goes in; where both sides
    moved that is reported, and the person decides. What comes out belongs into a worktree that was
    made again."""
    if stage is not Stage.SET_UP:
        return
    try:
        synced = sync(operation)
    except Refused as error:
        operation.warn(sentences(error.message, error.hint))
    else:
        if remade and synced.moved == "inside":
            fill(operation)


def _require_no_submodules(project: Project, new: list[InstanceRequest]) -> None:
    """Of what new instances start from; one that takes an existing branch is looked at later."""
    git = project.repository.git
    for name in {request.base or project.base for request in new if not request.attach}:
        commit = git.newest(name)[0]
        if commit:
            require_no_submodules(git, commit, name)


def _prepare_git(project: Project, emit: Emit) -> None:
    """Have the image with treedock's own git, so that `down` need not wait for it."""
    if project.config.image != "fullstack":
        try:
            images.ensure_git_image(project.repository.engine, emit)
        except RunnerError as error:  # it is only needed later
            stuck = "commits of stopped instances cannot be brought out:"
            emit(Warned(sentences(stuck, error.message)))


def _head(project: Project, base: str) -> str:
    local, remote = project.repository.git.heads(base)
    return local or remote or base


def _require_disk(project: Project) -> None:
    wanted = project.config.limits.disk_free
    places = {place: disk.free_bytes(place) for place in
              (project.repository.checkout, project.worktrees)}  # fmt: skip
    place, free = min(places.items(), key=lambda item: item[1])
    if free < wanted:
        raise LimitReached(
            f"Only {free / 2**30:.1f} GiB are free on the disk of {place}; "
            f"limits.disk_free wants {wanted / 2**30:.1f} GiB.",
            hint="Free some space (treedock clean, docker system df) or lower limits.disk_free.",
        )
