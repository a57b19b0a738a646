"""What the controller relies on, asked of the fake and of the real engine alike."""

import gc
import io
import os
import socket
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runner.adapters.engine.docker import DockerEngine
from runner.adapters.engine.protocol import Engine, Exec, Filter, ImageBuild
from runner.adapters.host import sockets
from runner.domain.errors import EngineFailed, EngineUnavailable, ImageBuildFailed, Refused
from runner.domain.instance import container as names
from runner.domain.instance.container import Container, ContainerSpec, Mount, VolumeMount
from runner.domain.instance.streams import Streams
from tests.contract.conftest import IMAGE, NEW_IMAGE, RUNNING, Create
from tests.contract.fake_engine import FakeEngine
from tests.contract.tiny_image import tiny_image
from tests.waiting import eventually


def own(engine: Engine, spec: ContainerSpec) -> list[Container]:
    return engine.containers(Filter(repository=spec.labels[names.LABEL_REPOSITORY]))


def test_the_engine_tells_its_versions(engine: Engine) -> None:
    info = engine.info()
    assert int(info.api_version.split(".")[1]) >= 41
    assert info.version
    assert info.limits == {"memory", "cpus", "pids"}
    assert not info.userns


def test_a_container_is_created_stopped_and_found_by_its_labels(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    other = replace(spec, name=f"{spec.name}-2", ports=())
    create(replace(other, labels={**spec.labels, names.LABEL_INSTANCE: "pay"}))
    (found,) = engine.containers(
        Filter(repository=spec.labels[names.LABEL_REPOSITORY], instance="auth")
    )
    assert (found.id, found.name, found.status) == (made, spec.name, "created")
    assert (found.instance, found.holder) == ("auth", "shop/auth")
    assert tuple(found.ports.values()) == spec.ports
    assert found.labels[names.LABEL_SPEC] == spec.fingerprint
    assert found.image == spec.image
    assert {c.instance for c in own(engine, spec)} == {"auth", "pay"}
    assert made in {c.id for c in engine.containers()}
    assert engine.containers(Filter(repository="nobody's")) == []


def test_it_starts_stops_and_goes(engine: Engine, spec: ContainerSpec, create: Create) -> None:
    made = create(spec)
    engine.start(made)
    engine.start(made)
    assert own(engine, spec)[0].status == "running"
    engine.stop(made, 2)
    engine.stop(made, 2)
    assert own(engine, spec)[0].status == "exited"
    engine.start(spec.name)
    assert own(engine, spec)[0].status == "running"
    engine.remove(made)
    engine.remove(made)
    assert own(engine, spec) == []


def test_what_was_done_is_what_is_listed_at_once(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(replace(spec, ports=()))
    for _ in range(3):
        engine.start(made)
        assert own(engine, spec)[0].status == "running"
        engine.pause(made)
        assert own(engine, spec)[0].status == "paused"
        engine.stop(spec.name, 0)
        assert own(engine, spec)[0].status == "exited"
    engine.start(made)
    engine.remove(made)
    assert own(engine, spec) == []


@pytest.mark.engine
def test_what_was_written_into_a_layer_counts_when_its_writer_is_gone(
    real: Engine, spec: ContainerSpec
) -> None:
    made = real.create(replace(spec, ports=()))
    try:
        assert real.layer_sizes()[made] < 2**20
        real.start(made)
        (Path(spec.mounts[0].source) / "much").write_bytes(bytes(2**22))
        real.exec(made, Exec(["sh", "-c", "cat much >/tmp/fill"], workdir=names.WORKSPACE))
        assert eventually(lambda: 2**22 <= real.layer_sizes()[made] < 2**23)
        real.stop(made, 0)
        assert real.layer_sizes()[made] >= 2**22
    finally:
        real.remove(made)


@pytest.mark.engine
def test_a_network_that_was_made_again_is_no_obstacle(real: Engine, spec: ContainerSpec) -> None:
    import docker

    client = docker.from_env()
    network = client.networks.create(spec.name)
    made = real.create(replace(spec, network=spec.name))
    try:
        real.start(made)
        real.stop(made, 0)
        network.remove()
        with pytest.raises(EngineFailed):
            real.start(made)
        network = client.networks.create(spec.name)
        real.start(made)
        assert own(real, spec)[0].status == "running"
        assert not any(sockets.is_free(port) for port in spec.ports)
    finally:
        real.remove(made)
        network.remove()
        client.close()


@pytest.mark.engine
def test_the_engine_keeps_nothing_of_an_instance_and_a_little_of_a_sidecar(
    real: Engine, spec: ContainerSpec
) -> None:
    import docker

    client = docker.from_env()
    line = "x" * 1000
    printing = ("sh", "-c", f"while :; do echo {line}; done")
    made = [real.create(spec), real.create(replace(spec, name=f"{spec.name}.b", ports=(),
                                                   command=printing))]  # fmt: skip
    try:
        for container in made:
            real.start(container)
        real.exec(made[0], Exec(["sh", "-c", "echo flood >/proc/1/fd/1"]))
        instance, sidecar = (client.containers.get(container).attrs for container in made)
        assert instance["HostConfig"]["LogConfig"]["Type"] == "none"
        assert not instance["LogPath"]
        assert sidecar["HostConfig"]["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "2"}
        assert eventually(lambda: real.last_lines(made[1], 1) == [line])
    finally:
        for container in made:
            real.remove(container)
        client.close()


def test_a_running_container_holds_its_ports_and_a_stopped_one_does_not(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    assert all(sockets.is_free(port) for port in spec.ports)
    engine.start(made)
    assert not any(sockets.is_free(port) for port in spec.ports)
    engine.stop(made, 2)
    assert all(sockets.is_free(port) for port in spec.ports)


def test_a_port_that_another_process_holds_fails_the_start(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    with socket.create_server(("127.0.0.1", spec.ports[1])):
        with pytest.raises(EngineFailed):
            engine.start(made)
        assert own(engine, spec)[0].status != "running"
        assert sockets.is_free(spec.ports[0])
    engine.start(made)
    assert own(engine, spec)[0].status == "running"


def test_a_port_that_a_sibling_holds_fails_the_start(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    engine.start(create(spec))
    with pytest.raises(EngineFailed):
        engine.start(create(replace(spec, name=f"{spec.name}-2")))


def test_a_name_that_is_taken_fails_the_creation(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    create(spec)
    with pytest.raises(EngineFailed):
        engine.create(spec)


def test_a_missing_bind_source_is_an_error_and_no_empty_folder(
    engine: Engine, spec: ContainerSpec, tmp_path: Path
) -> None:
    missing = Mount(str(tmp_path / "absent"), "/extra")
    with pytest.raises(EngineFailed):
        engine.create(replace(spec, mounts=(*spec.mounts, missing)))
    assert not (tmp_path / "absent").exists()
    assert own(engine, spec) == []


def test_a_container_tells_what_of_the_host_it_was_made_to_mount(
    engine: Engine, spec: ContainerSpec, create: Callable[[ContainerSpec], str], tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    mounts = (*spec.mounts, Mount(str(tmp_path / "there"), "/extra"))
    create(replace(spec, mounts=mounts))
    (found,) = own(engine, spec)
    assert sorted(found.sources) == sorted(mount.source for mount in mounts)


def test_a_missing_image_fails_the_creation(engine: Engine, spec: ContainerSpec) -> None:
    with pytest.raises(EngineFailed):
        engine.create(replace(spec, image="treedock-test/absent:1"))


def test_what_is_not_there_cannot_be_started(engine: Engine) -> None:
    with pytest.raises(EngineFailed):
        engine.start("treedock-test-absent")
    engine.remove("treedock-test-absent")


def test_a_sidecar_runs_its_own_command_in_the_namespace_of_another(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    owner = create(spec)
    beside = replace(
        spec,
        name=f"{spec.name}.beside",
        hostname="",
        ports=(),
        inside=owner,
        command=("sh", "-c", "echo one; echo two; exec sleep 60"),
    )
    made = create(beside)
    with pytest.raises(EngineFailed):
        engine.start(made)  # its owner does not run
    engine.start(owner)
    engine.start(made)
    assert eventually(lambda: engine.last_lines(made, 1) == ["two"])
    assert engine.last_lines(made, 5) == ["one", "two"]


def test_a_sidecar_whose_command_ends_has_exited(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(replace(spec, ports=(), command=("sh", "-c", "exit 3")))
    engine.start(made)
    assert eventually(lambda: own(engine, spec)[0].status == "exited")


def test_a_port_can_be_published_under_another_number(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    port, other = spec.ports
    engine.start(create(replace(spec, ports=(other,), forwards={5432: port})))
    assert not sockets.is_free(port)
    assert not sockets.is_free(other)


def test_a_volume_is_made_once_found_by_its_labels_and_stays_while_it_is_used(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    key = spec.labels[names.LABEL_REPOSITORY]
    name, labels = f"{spec.name}.data", {names.LABEL: "sidecar", names.LABEL_REPOSITORY: key}
    engine.ensure_volume(name, labels)
    engine.ensure_volume(name, labels)
    assert engine.volumes(Filter(repository=key)) == [name]
    assert engine.volumes(Filter(repository="nobody's")) == []
    made = create(replace(spec, volumes=(VolumeMount(name, "/data"),)))
    assert engine.users(name) == []
    engine.start(made)
    assert engine.users(name) == [spec.name]
    assert engine.users("/data") == []
    with pytest.raises(EngineFailed):
        engine.remove_volume(name)
    with pytest.raises(Refused, match=f"volume {name} that treedock did not make"):
        engine.ensure_volume(name, {**labels, names.LABEL_REPOSITORY: "another"})
    engine.remove(made)
    assert engine.volumes(Filter(repository=key)) == [name]
    engine.remove_volume(name)
    engine.remove_volume(name)
    assert engine.volumes(Filter(repository=key)) == []


def test_a_command_inside_has_exit_code_output_environment_and_folder(
    engine: Engine, spec: ContainerSpec, create: Create, tmp_path: Path
) -> None:
    made = create(spec)
    engine.start(made)
    script = "echo $GREETING $TOKEN $MORE; echo err >&2; touch made; exit 3"
    done = engine.exec(made, Exec(["sh", "-c", script], {"MORE": "x"}, names.WORKSPACE))
    assert done.exit_code == 3
    assert sorted(done.output.splitlines()) == [b"err", b"hello secret x"]
    assert (tmp_path / "workspace" / "made").stat().st_uid == os.getuid()


def test_words_with_spaces_and_quotes_arrive_as_they_are(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    engine.start(made)
    command = Exec(["sh", "-c", 'for word; do echo "[$word]"; done', "sh", "a b", "'\"$"])
    done = engine.exec(made, command)
    assert done.output == b"[a b]\n['\"$]\n"


def test_a_program_or_folder_that_is_not_there_ends_as_in_a_shell(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    engine.start(made)
    for argv, folder in ((["absent"], "/"), (["pwd"], "/absent")):
        done = engine.exec(made, Exec(argv, workdir=folder))
        assert done.exit_code in (126, 127)
        assert b"absent" in done.output
    with pytest.raises(EngineFailed):
        engine.exec_detached(made, Exec(["absent"]))


def test_nothing_runs_in_a_stopped_container(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    with pytest.raises(EngineFailed):
        engine.exec(made, Exec(["sh", "-c", "true"]))
    with pytest.raises(EngineFailed):
        engine.exec_detached(made, Exec(["sh", "-c", "true"]))


@pytest.mark.engine
def test_a_start_that_is_refused_says_so_at_once(engine: Engine) -> None:
    """Its container may have been removed since the command was made."""
    if isinstance(engine, DockerEngine):
        with (
            pytest.raises(EngineFailed, match="No such exec"),
            engine.calls.started("0" * 64, tty=False),
        ):
            pass


def test_a_detached_command_is_not_waited_for_leads_a_session_and_ends_with_its_container(
    engine: Engine, spec: ContainerSpec, create: Create, tmp_path: Path
) -> None:
    made = create(spec)
    engine.start(made)
    # Fields 1 and 6 of stat are pid and session (proc(5)).
    # Tidying up takes it a moment in which it has no children, and nobody may cut that short.
    tidy = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; : >ended; exit"
    script = f"trap '{tidy}' TERM; cat /proc/$$/stat >stat; while :; do sleep 0.05; done"
    engine.exec_detached(made, Exec(["sh", "-c", script], workdir=names.WORKSPACE))
    stat = tmp_path / "workspace" / "stat"
    fields = eventually(lambda: stat.exists() and stat.read_text().split())
    assert fields
    assert fields[0] == fields[5]
    engine.stop(made, 2)
    assert (tmp_path / "workspace" / "ended").exists()


def test_an_attached_command_has_its_streams_apart_and_its_exit_code(
    engine: Engine, spec: ContainerSpec, create: Create, tmp_path: Path
) -> None:
    made = create(spec)
    engine.start(made)
    (tmp_path / "in").write_bytes(b"\x00from outside\xff")
    out, err = io.BytesIO(), io.BytesIO()
    with (tmp_path / "in").open("rb") as stdin:
        code = engine.exec_attached(
            made, Exec(["sh", "-c", "cat; echo oops >&2; exit 4"]),
            Streams(stdin, out, err)
        )  # fmt: skip
    assert (code, out.getvalue(), err.getvalue()) == (4, b"\x00from outside\xff", b"oops\n")


@pytest.mark.parametrize(
    ("command", "folder", "said"),
    [
        ("nosuchcmd", "/", "There is no command 'nosuchcmd' in the instance's image or PATH."),
        ("./absent", names.WORKSPACE, "There is no command './absent'"),
        (f"{names.WORKSPACE}/text", "/", "is no program that may run"),
    ],
)
def test_an_attached_command_that_cannot_start_is_127_and_told_on_stderr_only(
    engine: Engine, spec: ContainerSpec, create: Create, command: str, folder: str, said: str
) -> None:
    (Path(spec.mounts[0].source) / "text").write_text("no program")
    made = create(spec)
    engine.start(made)
    out, err = io.BytesIO(), io.BytesIO()
    code = engine.exec_attached(made, Exec([command], workdir=folder), Streams(None, out, err))
    assert (code, out.getvalue()) == (127, b"")
    assert said in err.getvalue().decode()
    assert "OCI" not in err.getvalue().decode()


def test_a_paused_container_is_seen_as_such_and_can_be_stopped(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    engine.start(made)
    engine.exec_detached(made, Exec(["sleep", "60"]))
    engine.pause(made)
    (found,) = engine.containers(Filter(repository=spec.labels[names.LABEL_REPOSITORY]))
    assert found.status == "paused"
    engine.stop(made, 0)
    (found,) = engine.containers(Filter(repository=spec.labels[names.LABEL_REPOSITORY]))
    assert found.status == "exited"


def test_an_attached_command_that_does_not_end_in_time_is_an_error(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    engine.start(made)
    with pytest.raises(EngineFailed, match="did not end"):
        engine.exec_attached(
            made, Exec(["sleep", "60"], timeout=0.5),
            Streams(None, io.BytesIO(), io.BytesIO())
        )  # fmt: skip


def test_an_attached_command_that_never_stops_printing_ends_at_its_time_limit(
    engine: Engine, spec: ContainerSpec, create: Create, tmp_path: Path
) -> None:
    (tmp_path / "workspace" / "much").write_bytes(bytes(2**20))
    made = create(spec)
    engine.start(made)
    script = "while :; do cat much much much much; done"
    command = Exec(["sh", "-c", script], workdir=names.WORKSPACE, timeout=0.5)
    with (tmp_path / "said").open("wb") as said, pytest.raises(EngineFailed, match="did not end"):
        engine.exec_attached(made, command, Streams(None, said, said))


def test_what_stops_waiting_for_a_command_ends_it_and_what_it_started(
    engine: Engine, spec: ContainerSpec, create: Create, tmp_path: Path
) -> None:
    made = create(spec)
    engine.start(made)
    place = spec.mounts[0].source
    mine = f"6{os.getpid()}"  # the fake's containers see what else runs on this host
    script = f"(trap '' TERM; touch deaf; sleep {mine}1) & trap 'touch told; exit' TERM; "
    script += f"sleep {mine}2 & wait"
    with pytest.raises(EngineFailed, match="did not end"):
        engine.exec_attached(
            made, Exec(["sh", "-c", script], workdir=names.WORKSPACE, timeout=1),
            Streams(None, io.BytesIO(), io.BytesIO())
        )  # fmt: skip
    assert {path.name for path in Path(place).iterdir()} == {"deaf", "told"}
    left = engine.exec(made, Exec(["sh", "-c", RUNNING, "sh", f"sleep{mine}"]))
    assert left.output.split() == []


def test_commands_inside_leave_no_connection_open(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    engine.start(made)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(30):  # docker-py drops the oldest of 25 connections
            engine.exec(made, Exec(["echo", "hello"]))
            engine.exec_attached(
                made, Exec(["echo", "hello"]),
                Streams(None, io.BytesIO(), io.BytesIO())
            )  # fmt: skip
        gc.collect()
    assert not [str(one.message) for one in said]


def test_images_are_known_by_name_and_own_ones_are_listed(engine: Engine) -> None:
    assert engine.image("treedock-test/absent:1") is None
    made = engine.image(IMAGE)
    assert made
    assert (IMAGE, made) in engine.images()
    engine.import_image(tiny_image(), NEW_IMAGE)
    assert engine.image(NEW_IMAGE)
    engine.remove_image(NEW_IMAGE)
    engine.remove_image(NEW_IMAGE)
    assert engine.image(NEW_IMAGE) is None
    assert engine.image(IMAGE) == made


def test_a_build_makes_an_image_and_tells_its_steps(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY hello /hello\n")
    (tmp_path / "hello").write_text("hello")
    said: list[str] = []
    engine.build(ImageBuild(tmp_path, NEW_IMAGE, {}, 60), said.append)
    assert any("COPY hello" in line for line in said)
    assert NEW_IMAGE in [name for name, _ in engine.images()]


def test_a_build_that_fails_tells_its_last_lines_and_leaves_no_image(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY absent /absent\n")
    with pytest.raises(ImageBuildFailed, match="COPY absent"):
        engine.build(ImageBuild(tmp_path, NEW_IMAGE, {}, 60), lambda line: None)
    assert engine.image(NEW_IMAGE) is None


def test_an_image_in_use_is_left(engine: Engine, spec: ContainerSpec, create: Create) -> None:
    create(spec)
    engine.remove_image(IMAGE)
    assert engine.image(IMAGE)


def test_an_engine_that_goes_away_is_unavailable_and_has_not_merely_failed() -> None:
    fake = FakeEngine()
    fake.vanish(after=1)
    fake.info()
    with pytest.raises(EngineUnavailable):
        fake.info()
