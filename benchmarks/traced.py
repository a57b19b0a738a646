"""Run a command of the package `runner` and write down what it did.

    traced.py OUT.json COMMAND [ARGUMENT]...

COMMAND is the script of the entry point. It runs in this process, to its end, with a profile hook
in every thread and an audit hook for processes. OUT.json then holds

- `files`: the files of runner/ in which a function was called; what runs while a module of
  runner/ is imported does not count
- `hops`: calls that cross from one file of runner/ into another; between both may lie code of
  other packages. A generator counts once, not at each of its values.
- `crossings`: the hops by caller and called file
- `processes`: what was started, in order: `at` (seconds), `words`, and `callers`, the frames in
  runner/ from the innermost outwards as [file, line, function]; where a thread begins, those of
  the thread's start follow
- `exit_code` and `seconds` (the hooks take part of them)

A process that git or another program starts in turn is not seen.
"""

import importlib.util
import json
import os
import runpy
import sys
import threading
import time
from collections import Counter
from inspect import CO_GENERATOR, CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

Caller = tuple[str, int, str]
SPAWNS = ("subprocess.Popen", "os.posix_spawn", "os.exec")


class Tracer:
    """`root` is the folder of the package, with a slash at its end."""

    def __init__(self, root: str, out: Path) -> None:
        self._root = root
        self._out = out
        self._names: dict[str, str] = {}  # of a code's file: below root, or "" elsewhere
        self._starts: dict[CodeType, int] = {}
        self._entered: set[str] = set()
        self._hops: list[tuple[str, str]] = []
        self._processes: list[dict[str, Any]] = []
        self._thread = threading.local()
        self._began = time.perf_counter()

    # --- calls ------------------------------------------------------------------------------

    def profile(self, frame: FrameType, event: str, _: object) -> None:
        if event not in ("call", "return"):
            return
        code = frame.f_code
        name = self._name(code)
        if not name:
            return
        if code.co_name == "<module>":
            depth = getattr(self._thread, "importing", 0)
            self._thread.importing = depth + (1 if event == "call" else -1)
        elif event == "call" and not getattr(self._thread, "importing", 0):
            self._called(frame, code, name)

    def _called(self, frame: FrameType, code: CodeType, name: str) -> None:
        if not code.co_flags & CO_OPTIMIZED:
            return  # the body of a class
        if code.co_flags & CO_GENERATOR:
            # A generator's first call is its start; a later one elsewhere in its code resumes it.
            at = frame.f_lasti
            if self._starts.setdefault(code, at) != at:
                return
        self._entered.add(name)
        caller = next((found for found, _ in self._frames(frame.f_back)), name)
        if caller != name:
            self._hops.append((caller, name))

    def _name(self, code: CodeType) -> str:
        file = code.co_filename
        if file not in self._names:
            below = file.startswith(self._root)
            self._names[file] = file.removeprefix(self._root) if below else ""
        return self._names[file]

    def _frames(self, frame: FrameType | None) -> Any:
        while frame is not None:
            if name := self._name(frame.f_code):
                yield name, frame
            frame = frame.f_back

    # --- processes --------------------------------------------------------------------------

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in SPAWNS:
            return
        frame = sys._getframe(1)
        if event != "subprocess.Popen" and frame.f_globals.get("__name__") == "subprocess":
            return  # Popen has reported it
        words = [os.fsdecode(word) for word in arguments[1]]
        at = round(time.perf_counter() - self._began, 4)
        self._processes.append({"at": at, "words": words, "callers": self._callers(frame)})
        if event == "os.exec":
            self.write(None)

    def _callers(self, frame: FrameType | None) -> list[Caller]:
        own = [
            (name, found.f_lineno, found.f_code.co_qualname) for name, found in self._frames(frame)
        ]
        return own + getattr(threading.current_thread(), "started_by", [])

    def follow_threads(self) -> None:
        """Let every new thread be profiled and know who started it."""
        threading.setprofile(self.profile)
        start = threading.Thread.start

        def start_known(thread: threading.Thread) -> None:
            thread.started_by = self._callers(sys._getframe(1))  # type: ignore[attr-defined]
            start(thread)

        threading.Thread.start = start_known  # type: ignore[assignment,method-assign]

    # --- the end ----------------------------------------------------------------------------

    def write(self, exit_code: int | None) -> None:
        crossings = Counter(f"{caller} -> {called}" for caller, called in list(self._hops))
        found = {
            "exit_code": exit_code,
            "seconds": round(time.perf_counter() - self._began, 4),
            "files": sorted(self._entered),
            "hops": crossings.total(),
            "crossings": dict(crossings.most_common()),
            "processes": self._processes,
        }
        self._out.write_text(json.dumps(found))


def main(out: Path, command: str) -> int:
    package = importlib.util.find_spec("runner")
    if package is None or package.origin is None:
        sys.exit(f"{sys.executable} finds no package runner")
    tracer = Tracer(f"{Path(package.origin).parent}/", out)
    sys.argv = sys.argv[2:]
    sys.path[0] = str(Path(command).parent)  # as if it had been started itself
    sys.addaudithook(tracer.audit)
    tracer.follow_threads()
    code = 0
    try:
        sys.setprofile(tracer.profile)
        runpy.run_path(command, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.setprofile(None)
        tracer.write(code)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
