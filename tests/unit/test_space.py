"""Who is paused when the disk is almost full, and what the kernel says a container wrote."""

from pathlib import Path

import pytest

from runner.adapters.engine import cgroups
from runner.controller.disk_watch import Look, blamed

MIB = 2**20


@pytest.mark.parametrize(
    ("lost", "grown", "paused"),
    [
        (100, {"auth": 90, "pay": 2}, ["auth"]),
        (100, {"auth": 30, "pay": 40}, ["pay"]),  # together they explain it
        (100, {"auth": 0, "pay": 2}, ["auth", "pay"]),
        (100, {"auth": None, "pay": 2}, ["auth", "pay"]),
        (100, {"auth": None, "pay": 80}, ["pay"]),
        (0, {"auth": 0, "pay": 1}, ["pay"]),
        (-500, {"auth": 90, "pay": 2}, ["auth"]),
        (2, {"auth": 0, "pay": 0}, []),
        (0, {"auth": -5}, []),
        (100, {}, []),
    ],
)
def test_the_one_that_wrote_most_is_paused_or_all_where_none_explains_the_loss(
    lost: int, grown: dict[str, int | None], paused: list[str]
) -> None:
    written = {name: None if n is None else (10 + n) * MIB for name, n in grown.items()}
    before = Look(1000 * MIB, dict.fromkeys(grown, 10 * MIB))
    assert list(blamed(before, Look((1000 - lost) * MIB, written)).instances) == paused


def test_an_instance_that_has_just_come_up_is_not_blamed_for_all_that_it_has() -> None:
    before, now = Look(100 * MIB, {"auth": 0}), Look(99 * MIB, {"auth": MIB, "new": 500 * MIB})
    assert blamed(before, now).instances == ("auth",)


@pytest.mark.parametrize("folder", ["docker/abc", "system.slice/docker-abc.scope"])
def test_cgroup_v2_counts_what_is_written_and_what_is_still_held(
    tmp_path: Path, folder: str
) -> None:
    there = tmp_path / folder
    there.mkdir(parents=True)
    (there / "io.stat").write_text(
        "8:0 rbytes=5 wbytes=1000 rios=1 wios=1 dbytes=0 dios=0\n259:1 rbytes=0 wbytes=30\n"
    )
    (there / "memory.stat").write_text("anon 7\nfile 9\nfile_dirty 400\nfile_writeback 6\n")
    assert cgroups.written("abc", tmp_path) == 1436
    (there / "io.stat").write_text("")
    assert cgroups.written("abc", tmp_path) == 406


def test_cgroup_v1_does_not_know_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "blkio/docker/abc").mkdir(parents=True)
    assert cgroups.written("abc", tmp_path) is None
