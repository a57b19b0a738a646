"""Whose files a repository is: git reads no other user's, and treedock shares none with one."""

import os
import shlex
from pathlib import Path

from runner.domain.errors import NotFound, Refused, RunnerError, Unavailable


def require_own(checkout: Path, kept: Path) -> None:
    """Raises Refused where root is at work in a checkout of another user's, who could not change
    what it leaves there, and where `kept`, what treedock keeps, is another user's."""
    owner = checkout.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        raise Refused(
            f"{checkout} belongs to {name_of(owner)}, who could not change what root leaves there.",
            hint=_as_the_owner(owner),
        )
    try:
        keeper = kept.stat().st_uid
    except FileNotFoundError:
        return
    if keeper != os.geteuid():
        raise Refused(
            f"{kept} belongs to {name_of(keeper)}: the instances of a checkout are one user's.",
            hint=_as_the_owner(keeper)
            if os.geteuid() == 0
            else f"Work in a clone of your own: git clone {shlex.quote(str(checkout))} FOLDER",
        )


def unreadable(folder: Path) -> RunnerError:
    """Why git finds no repository that `folder` lies in."""
    for top in [folder, *folder.parents]:
        if not os.path.lexists(top / ".git"):
            continue
        owner = top.stat().st_uid
        if owner == os.geteuid():
            return Unavailable(
                f"git does not take {top} for a repository, although it has a .git.",
                hint=f"See what git says: git -C {shlex.quote(str(top))} status",
            )
        trust = f"git config --global --add safe.directory {shlex.quote(str(top))}"
        return Refused(
            f"{top} belongs to {name_of(owner)}, and git reads no repository of another user's.",
            hint=_as_the_owner(owner) if os.geteuid() == 0 else f"If you trust it: {trust}",
        )
    return NotFound(
        f"{folder} is not in a git repository.",
        hint="Go to your repository, or make one with: git init",
    )


def name_of(uid: int) -> str:
    """A user's name, or 'user 1234' where there is none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _as_the_owner(uid: int) -> str:
    who = name_of(uid)
    user = f"'#{uid}'" if who == f"user {uid}" else who
    return f"Run it as {who}: sudo -u {user} treedock ..."
