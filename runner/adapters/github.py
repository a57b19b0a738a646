"""Pull requests: by `gh` where it is installed, and the address to open one by hand."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit

from runner.adapters import cancellation
from runner.adapters.git.process import environment
from runner.domain.errors import Unavailable

TIMEOUT = 60.0  # seconds for one call of gh

Kind = Literal["github", "gitlab", "bitbucket"]

_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[^/:@]+):(?!//)(?P<path>.+)")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_PATH = re.compile(r"[\w.~+-]+(?:/[\w.~+-]+)+")
# Where ssh goes through port 443, as their documentation says.
_SAME = {
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
}


@dataclass(frozen=True)
class Forge:
    """A repository at a host whose addresses are known; `path` as in 'ada/shop'."""

    kind: Kind
    host: str
    path: str


@dataclass(frozen=True)
class Request:
    """A pull request to make."""

    branch: str
    base: str
    title: str
    body: str
    labels: tuple[str, ...] = ()
    draft: bool = False


def forge_of(url: str) -> Forge | None:
    """The repository that a remote's address means, or None for a host of another kind.

    Knows the ssh, scp-like, https and git forms. Name and password in it are dropped.
    """
    if "://" in url:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return None
        if parts.scheme not in ("https", "http", "ssh", "git", "git+ssh"):
            return None
        path = parts.path
        keeps_port = parts.scheme in ("https", "http") and port
    else:
        found = _SCP.fullmatch(url)
        if not found:
            return None
        host, path, port, keeps_port = found["host"].lower(), found["path"], None, None
    host = _SAME.get(host, host)
    path = path.strip("/").removesuffix(".git")
    kind = _kind(host)
    if kind is None or not _HOST.fullmatch(host) or not _PATH.fullmatch(path):
        return None
    if kind != "gitlab" and path.count("/") != 1:
        return None
    return Forge(kind, f"{host}:{port}" if keeps_port else host, path)


def compare_url(forge: Forge, base: str, branch: str) -> str:
    """Where a person opens a pull request (a merge request) from `branch` to `base`."""
    top = f"https://{forge.host}/{forge.path}"
    if forge.kind == "github":
        return f"{top}/compare/{quote(base)}...{quote(branch)}?expand=1"
    if forge.kind == "gitlab":
        wanted = {
            "merge_request[source_branch]": branch,
            "merge_request[target_branch]": base,
        }
        return f"{top}/-/merge_requests/new?{urlencode(wanted)}"
    return f"{top}/pull-requests/new?{urlencode({'source': branch, 'dest': base})}"


def is_installed() -> bool:
    """Whether there is a `gh` on the path."""
    return shutil.which("gh") is not None


def existing(forge: Forge, branch: str) -> str | None:
    """The address of the open pull request of a branch. Raises Unavailable where gh fails.

    A fork may have a branch of the same name: that one is someone else's.
    """
    fields = "--json=url,isCrossRepository"
    out = _gh("pr", "list", _repo(forge), f"--head={branch}", "--state=open", fields)
    try:
        found = json.loads(out)
        own = [one["url"] for one in found if not one.get("isCrossRepository")]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unavailable(
            "gh pr list did not answer as expected.", hint="Is it a recent gh? gh --version"
        ) from error
    return str(own[0]) if own else None


def create(forge: Forge, request: Request) -> str:
    """Make a pull request; returns its address. Raises Unavailable where gh fails."""
    arguments = [f"--head={request.branch}", f"--base={request.base}", f"--title={request.title}"]
    arguments += [f"--label={_one_of_a_list(label)}" for label in request.labels]
    arguments += ["--draft"] if request.draft else []
    out = _gh("pr", "create", _repo(forge), *arguments, "--body-file=-", stdin=request.body)
    lines = [line.strip() for line in out.splitlines()]
    return next((line for line in reversed(lines) if line.startswith("https://")), "")


def _kind(host: str) -> Kind | None:
    """Own servers are known by their name, as in github.example.com."""
    first = host.partition(".")[0]
    if host == "github.com" or first == "github":
        return "github"
    if host == "gitlab.com" or first == "gitlab":
        return "gitlab"
    return "bitbucket" if host == "bitbucket.org" else None


def _one_of_a_list(label: str) -> str:
    """gh reads the value as a line of CSV."""
    return '"' + label.replace('"', '""') + '"' if set(label) & set(',"\n') else label


def _repo(forge: Forge) -> str:
    return f"--repo={forge.host}/{forge.path}"


def _gh(*arguments: str, stdin: str = "") -> str:
    """What gh prints. It is told the repository, so it looks into none, and asks no one."""
    quiet = {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}
    own = {k: v for k, v in environment().items() if k not in ("GH_REPO", "GH_DEBUG")}
    with subprocess.Popen(
        ["gh", *arguments], cwd="/", env=own | quiet, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            with cancellation.ending(process.kill):
                out, err = process.communicate(stdin.encode(), TIMEOUT)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                what = " ".join(arguments[:2])
                raise Unavailable(f"gh {what} did not end within {TIMEOUT:g} seconds.") from error
            raise
    if process.returncode:
        said = err.decode(errors="replace").strip()[-1000:]
        raise Unavailable(
            f"gh {' '.join(arguments[:2])} failed (exit code {process.returncode}): {said}",
            hint="Is gh logged in? gh auth status",
        )
    return out.decode(errors="replace")
