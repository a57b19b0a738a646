"""db reset, url, snapshot, restore, list, drop."""

from runner.controller import choosing
from runner.controller.data import database
from runner.controller.project import Project
from runner.controller.stream import Stream
from runner.domain.answers import results_of
from runner.domain.events import Emit
from runner.domain.requests.data import (
    Address,
    Drop,
    Dropped,
    Keep,
    ListSnapshots,
    Reset,
    Restore,
    Restored,
    Snapshots,
    Url,
)
from runner.domain.requests.lifecycle import Instances


def db_reset(project: Project, request: Reset, emit: Emit) -> Instances:
    from runner.controller.data.reset import reset
    from runner.controller.observe.listing import list_instances

    chosen = choosing.one(project.repository, request.instance)
    reset(project, chosen, emit, fresh=request.fresh)
    views = list_instances(project.repository, Stream())
    there = tuple(view for view in views if view.id == chosen)
    return Instances(instances=there, results=results_of([chosen], [True]))


def db_url(project: Project, request: Url, emit: Emit) -> Address:
    chosen = choosing.one(project.repository, request.instance)
    return Address(id=chosen, url=database.url_of(project, chosen))


def db_snapshot(project: Project, request: Keep, emit: Emit) -> Snapshots:
    return Snapshots(snapshots=(database.snapshot(project, request.instance, request.name, emit),))


def db_restore(project: Project, request: Restore, emit: Emit) -> Restored:
    source = request.source or request.instance
    database.restore(project, request.instance, source, request.name, emit)
    return Restored(id=request.instance, name=request.name, source=source)


def db_list(project: Project, request: ListSnapshots, emit: Emit) -> Snapshots:
    chosen = choosing.one(project.repository, request.instance)
    return Snapshots(snapshots=tuple(database.snapshots(project, chosen)))


def db_drop(project: Project, request: Drop, emit: Emit) -> Dropped:
    database.drop(project, request.instance, request.name, emit)
    return Dropped(id=request.instance, name=request.name)
