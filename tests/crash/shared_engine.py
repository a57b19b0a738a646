"""One fake engine for several processes: it lives in a process of its own."""

import io
from collections.abc import Callable, Mapping
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any, BinaryIO, cast

from runner.adapters.engine.protocol import Engine, Exec, Sink
from runner.controller.instance.images import PULLED_BASE
from tests.contract.fake_engine import FakeEngine

KEY = b"treedock"


class _Whole(FakeEngine):
    """What cannot travel between processes, streams and callbacks, as plain values."""

    def exec_collected(
        self, container: str, command: Exec, stdin: bytes
    ) -> tuple[int, bytes, bytes]:
        out, err = io.BytesIO(), io.BytesIO()
        code = self.exec_attached(
            container, command, stdin=io.BytesIO(stdin), stdout=out, stderr=err
        )
        return code, out.getvalue(), err.getvalue()

    def build_quietly(
        self, context: Path, name: str, args: Mapping[str, str], timeout: float
    ) -> None:
        self.build(context, name, args=args, say=lambda line: None, timeout=timeout)


class EngineServer(BaseManager):
    """Start it where the engine is to live; `connect` elsewhere."""


_one: list[_Whole] = []


def _engine() -> _Whole:
    if not _one:
        _one.append(_Whole(images=["tiny"], registry=[PULLED_BASE]))
    return _one[0]


EngineServer.register("engine", callable=_engine)


class SharedEngine:
    """An Engine: the one in the server's process."""

    def __init__(self, address: Any) -> None:
        server = EngineServer(address=address, authkey=KEY)
        server.connect()
        self._there: Any = server.engine()  # type: ignore[attr-defined]

    def exec_attached(
        self,
        container: str,
        command: Exec,
        *,
        stdin: BinaryIO | None,
        stdout: Sink,
        stderr: Sink,
    ) -> int:
        data = stdin.read() if stdin else b""
        code, out, err = self._there.exec_collected(container, command, data)
        stdout.write(out)
        stderr.write(err)
        return cast(int, code)

    def build(
        self,
        context: Path,
        name: str,
        *,
        args: Mapping[str, str],
        say: Callable[[str], None],
        timeout: float,
    ) -> None:
        self._there.build_quietly(context, name, dict(args), timeout)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return cast(Callable[..., Any], getattr(self._there, name))


def shared(address: Any) -> Engine:
    return cast(Engine, SharedEngine(address))
