"""The JavaScript apps of a checkout: what installs, serves and tests each."""

import posixpath
from collections.abc import Container
from dataclasses import dataclass

from runner.domain.detect.compose_sidecars import free_name
from runner.domain.detect.listing import App, Listing, Service, Step, join
from runner.domain.detect.node_packages import Package, packages_of
from runner.domain.detect.node_scripts import Serving, serving
from runner.domain.text import printable

_MOST = 6  # services of a workspace


@dataclass(frozen=True)
class _Candidate:
    package: Package
    serving: Serving


def find_node(listing: Listing, taken: Container[str]) -> list[App]:
    """The apps that serve: a backend and a frontend as far as these names are not `taken`, and of a
    workspace every other member that serves, named like its folder."""
    packages = packages_of(listing)
    found = [_Candidate(p, s) for p in packages for s in [serving(listing, p)] if s]
    found.sort(key=lambda one: one.serving.tool is None)  # stable: a known tool first
    apps: dict[str, App] = {}
    for candidate in found:
        role = candidate.serving.role
        if role not in apps and role not in taken:
            apps[role] = _app(candidate, role)
        elif candidate.package.member and len(apps) < _MOST:
            name = free_name(_name(candidate.package), {*apps, "backend", "frontend"})
            apps[name] = _app(candidate, name)
    order = {"backend": 0, "frontend": 1}
    return [apps[name] for name in sorted(apps, key=lambda name: order.get(name, 2))]


def _name(package: Package) -> str:
    return posixpath.basename(package.folder)


def _app(candidate: _Candidate, role: str) -> App:
    package, how = candidate.package, candidate.serving
    manager = package.manager
    service = _service(package, how, role)
    test = package.scripts.get("test", "")
    has_test = test and "no test specified" not in test
    path = join(package.folder, "package.json")
    what = how.tool.name if how.tool else f"script {how.script}"
    return App(
        setup=(Step(manager.install, manager.folder),),
        service=service,
        test=Step(package.script("test"), package.folder) if has_test else None,
        said=(
            f"{manager.source} → setup: {manager.install}",
            f"{path} ({what}) → services.{role}: {printable(service.run)}",
        ),
        leaves=(f"{join(manager.folder, 'node_modules')}/", *manager.leaves),
        unsure=(how.unsure,) if how.unsure else (),
    )


def _service(package: Package, how: Serving, role: str) -> Service:
    port = f"${role.upper().replace('-', '_')}_PORT"
    arguments = how.tool.arguments.format(port=port) if how.tool else ""
    command = package.script(how.script, arguments)
    if not arguments:
        command = f"HOST=0.0.0.0 PORT={port} {command}"
    if how.tool and how.tool.name == "react-scripts":
        command = f"BROWSER=none {command}"
    slow = how.tool is not None and how.tool.slow
    return Service(role, command, package.folder, timeout=180 if slow else 60)
