"""Python's web frameworks: which file of a checkout serves, and the command that serves it."""

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runner.domain.detect.listing import Listing, join

_ENTRIES = ("main.py", "app.py", "server.py", "api.py", "asgi.py", "wsgi.py", "__init__.py")
_HEALTH = re.compile(r"""["'](/(?:[\w-]+/)*health\w*)["']""")
_SHOWN_FIRST = ("streamlit_app", "app", "main", "home")
_TOLD = re.compile(r"streamlit run\s+[\"']?([\w./ -]+?\.py)")
_TELLING = ("Procfile", "Dockerfile", "Makefile", "README.md", "readme.md", "README.rst")
_TEXT = 100_000  # characters of a file in which the app is looked for
_DEPTH = 4  # folders above the file that holds the app


@dataclass(frozen=True)
class Server:
    """A file that serves. `program` is the command of the environment, `before` what stands in
    front of it (variables), `package` what has to be installed for it."""

    path: str
    kind: str
    folder: str
    program: str
    package: str
    health: str = "/"
    before: str = ""
    module: str = ""
    unsure: str | None = None


def find_backend(listing: Listing) -> Server | None:
    """The first server of an API or of pages, by the usual names of its file."""
    files = [f for f in listing.below(".", ".py") if f.count("/") <= _DEPTH]
    entries = [f for f in files if posixpath.basename(f) in _ENTRIES]
    others = [f for f in files if "/" not in f and f not in entries]
    for path in (*entries, *others):
        text = listing.read(path)[:_TEXT]
        for recognise in (_asgi, _flask, _aiohttp):
            server = recognise(listing, path, text)
            if server:
                return server
    return None


def find_shown(listing: Listing) -> Server | None:
    """A Streamlit or Gradio app: what a person looks at."""
    return _streamlit(listing) or _gradio(listing)


_ASGI = re.compile(r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)?(FastAPI|Starlette|Litestar)\(", re.M)
_ASGI_FACTORY = re.compile(
    r"^def (create_app|get_app|make_app|build_app|get_application|create_application)\(\s*\)"
    r"(?:(?!^def ).){0,2000}?\b(FastAPI|Starlette|Litestar)\(",
    re.M | re.S,
)


def _asgi(listing: Listing, path: str, text: str) -> Server | None:
    match, option = _ASGI.search(text), ""
    if match is None:
        match, option = _ASGI_FACTORY.search(text), "--factory "
    if match is None:
        return None
    folder, module = module_of(listing, path, text)
    program = f"uvicorn {option}{module}:{match[1]} --host 0.0.0.0 --port $BACKEND_PORT"
    return Server(path, match[2], folder, program, "uvicorn", _health(text), module=module)


_FLASK = re.compile(r"(?<![\w.])(?:flask\.)?Flask\(")
_FLASK_APP = re.compile(r"^\s*(?:export\s+|ENV\s+)?FLASK_APP[=\s]\s*[\"']?([\w./:]+)", re.M)


def _flask(listing: Listing, path: str, text: str) -> Server | None:
    if not _FLASK.search(text):
        return None
    folder, module = module_of(listing, path, text)
    for around, source in _beside(listing, folder, (".flaskenv", ".env.example", "Dockerfile")):
        told = _FLASK_APP.search(source)
        name = told[1].removesuffix(".py") if told else ""
        if name and _is_module(listing, around, name.partition(":")[0]):
            folder, module = around, name
            break
    program = f"flask --app {module} run --host 0.0.0.0 --port $BACKEND_PORT"
    return Server(path, "Flask", folder, program, "flask", _health(text), module=module)


_AIOHTTP = re.compile(r"\bweb\.run_app\(([^\n]*)")


def _aiohttp(listing: Listing, path: str, text: str) -> Server | None:
    call = _AIOHTTP.search(text)
    if call is None:
        return None
    folder, name = posixpath.split(path)
    reads = re.search(r"environ\S*[\"']PORT[\"']|getenv\([\"']PORT[\"']", text)
    unsure = None if reads else f"{path}: does it listen on 0.0.0.0 and on the variable PORT?"
    before = "HOST=0.0.0.0 PORT=$BACKEND_PORT "
    return Server(
        path, "aiohttp", folder or ".", f"python {name}", "aiohttp", _health(text), before,
        unsure=unsure,
    )  # fmt: skip


_STREAMLIT = re.compile(r"^\s*(?:import streamlit\b|from streamlit\b)", re.M)


def _streamlit(listing: Listing) -> Server | None:
    files = _with(listing, _STREAMLIT, lambda path: "pages" not in path.split("/")[:-1])
    if not files:
        return None
    told = [path for source in _TELLING for path in _TOLD.findall(listing.text(".", source))]
    named = [join(".", path) for path in told if join(".", path) in files]
    path = named[0] if named else min(files, key=lambda file: _shown_rank(listing, file))
    run = (
        f"streamlit run {path} --server.address 0.0.0.0 --server.port $FRONTEND_PORT"
        " --server.headless true --browser.gatherUsageStats false"
    )
    return Server(path, "Streamlit", ".", run, "streamlit")


_GRADIO = re.compile(r"^\s*(?:import gradio\b|from gradio\b)", re.M)


def _gradio(listing: Listing) -> Server | None:
    files = _with(listing, _GRADIO, lambda path: ".launch(" in listing.read(path))
    if not files:
        return None
    path = min(files, key=lambda file: _shown_rank(listing, file))
    before = "GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$FRONTEND_PORT "
    fixed = re.search(r"\.launch\([^)]*server_(?:port|name)\s*=\s*[\"\d]", listing.read(path))
    unsure = f"{path}: launch() names a port or host; leave it to GRADIO_SERVER_PORT"
    return Server(
        path, "Gradio", ".", f"python {path}", "gradio", before=before,
        unsure=unsure if fixed else None,
    )  # fmt: skip


def _with(listing: Listing, pattern: re.Pattern[str], fits: Callable[[str], bool]) -> list[str]:
    files = [f for f in listing.below(".", ".py") if f.count("/") <= 2 and "test" not in f.lower()]
    return [f for f in files if pattern.search(listing.read(f)) and fits(f)]


def _shown_rank(listing: Listing, path: str) -> tuple[int, bool, int, str]:
    folder, name = posixpath.split(path)
    stem = name.removesuffix(".py").lower()
    place = _SHOWN_FIRST.index(stem) if stem in _SHOWN_FIRST else len(_SHOWN_FIRST)
    with_pages = any(f.startswith(join(folder or ".", "pages/")) for f in listing.files)
    return path.count("/"), not with_pages, place, path


def _health(text: str) -> str:
    found = _HEALTH.search(text)
    return found[1] if found else "/"


def _beside(listing: Listing, folder: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for around in listing.upwards(folder):
        yield from ((around, listing.text(around, name)) for name in names)


def _is_module(listing: Listing, folder: str, name: str) -> bool:
    path = name.replace(".", "/")
    return listing.has(folder, f"{path}.py") or listing.has(folder, f"{path}/__init__.py")


def module_of(listing: Listing, path: str, text: str) -> tuple[str, str]:
    """(folder to run in, dotted name) of a file, told by __init__.py and by what it imports."""
    *folders, name = path.split("/")
    stem = name.removesuffix(".py")
    top = len(folders)
    while top and listing.has("/".join(folders[:top]), "__init__.py"):
        top -= 1
    here = "/".join(folders) or "."
    imported = set(re.findall(r"^\s*(?:from|import)\s+(\w+)", text, re.MULTILINE))
    for level, folder in enumerate(folders):
        beside = listing.has(here, f"{folder}.py") or listing.has(here, f"{folder}/__init__.py")
        if folder in imported and not beside:
            top = min(top, level)
    if folders and re.search(r"^\s*from\s+\.", text, re.MULTILINE):
        top = min(top, len(folders) - 1)
    parts = [*folders[top:], *([stem] if stem != "__init__" else [])]
    return "/".join(folders[:top]) or ".", ".".join(parts)
