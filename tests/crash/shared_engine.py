"""One fake engine for several processes: it lives in a process of its own."""

import io
from collections.abc import Callable
from multiprocessing.managers import BaseManager
from typing import Any, cast

from runner.adapters.engine.protocol import Engine, Exec, ImageBuild
from runner.controller.instance.images import PULLED_BASE
from runner.domain.instance.streams import Streams
from tests.contract.fake_engine import FakeEngine

KEY = b"treedock"


class _Whole(FakeEngine):
    """What cannot travel between processes, streams and callbacks, as plain values."""

    def exec_collected(
        self, container: str, command: Exec, stdin: bytes
    ) -> tuple[int, bytes, bytes]:
        out, err = io.BytesIO(), io.BytesIO()
        code = self.exec_attached(container, command, Streams(io.BytesIO(stdin), out, err))
        return code, out.getvalue(), err.getvalue()

    def build_quietly(self, wanted: ImageBuild) -> None:
        self.build(wanted, lambda line: None)


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

    def exec_attached(self, container: str, command: Exec, streams: Streams) -> int:
        data = streams.stdin.read() if streams.stdin else b""
        code, out, err = self._there.exec_collected(container, command, data)
        streams.stdout.write(out)
        streams.stderr.write(err)
        return cast(int, code)

    def build(self, wanted: ImageBuild, say: Callable[[str], None]) -> None:
        self._there.build_quietly(wanted)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return cast(Callable[..., Any], getattr(self._there, name))


def shared(address: Any) -> Engine:
    return cast(Engine, SharedEngine(address))
