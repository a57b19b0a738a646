"""The treedock command as a person runs it: a process with an exit code and two streams."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from runner.controller.table import request_of
from runner.domain.requests.request import answer_of
from runner.domain.requests.schema import schema_of

CHECKOUT = Path(__file__).parent.parent


@functools.cache
def _validator(verb: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(verb, answer_of(request_of(verb))))


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The one document on stdout, which is what `treedock schema json` promises."""
        document = json.loads(self.stdout)
        if document["verb"]:  # none where the command line is wrong
            _validator(document["verb"]).validate(document)
        return document

    @property
    def refused(self) -> dict[str, str]:
        """The error code of each instance that did not get what was asked, by id."""
        failed = (result for result in self.json["results"] if result["error"])
        return {result["id"]: result["error"]["code"] for result in failed}


@dataclass(frozen=True)
class Cli:
    """Runs treedock with the interpreter under test, in `folder` unless told otherwise."""

    folder: Path

    def __call__(
        self,
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout: float = 120,
    ) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "runner", *arguments],
            cwd=cwd or self.folder,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)} | dict(env or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Answer(done.returncode, done.stdout, done.stderr)
