"""The host under test: the stand-in always, a real WebUI when WEBUI_DIR names one (`-m host`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from tests.fake_host.start import FakeHost
from tests.host.driver import Host, make_data_dir
from tests.host.networks import write_all, write_checkpoints
from tests.host.real import RealHost

Start = Callable[..., Host]

KINDS = ["stand-in", pytest.param("webui", marks=pytest.mark.host)]


@pytest.fixture(scope="package", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two."""
    if request.param == "webui" and not os.environ.get("WEBUI_DIR"):
        pytest.skip("WEBUI_DIR names no WebUI")
    return cast(str, request.param)


@pytest.fixture(scope="package")
def shared_host(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Host]:
    """One run for all tests, with the extension and the networks of `networks.py`."""
    data_dir = make_data_dir(tmp_path_factory.mktemp("host") / "data")
    write_all(data_dir / "models" / "Lora")
    server = FakeHost(data_dir, ["--api"]) if kind == "stand-in" else RealHost(data_dir)
    shared = Host(server, data_dir)
    write_checkpoints(shared.write_checkpoint)
    try:
        server.start()
        yield shared
    finally:
        server.stop()


@pytest.fixture
def host(shared_host: Host) -> Generator[Host]:
    """The run, as the last test found it."""
    shared_host.use("lyco-embedded")
    before = shared_host.options()
    yield shared_host
    after = shared_host.options()
    shared_host.set_options(**{key: value for key, value in before.items() if after.get(key) != value})


@pytest.fixture
def webui(kind: str, host: Host) -> Host:
    """The run, for what the stand-in does not have."""
    if kind == "stand-in":
        pytest.skip("only the real one has it")
    return host


@pytest.fixture
def start(kind: str, tmp_path: Path) -> Generator[Start]:
    """Starts a run of its own: start(*flags, data_dir=...), or with extension=False, options={...}."""
    with ExitStack() as stack:

        def begin(*flags: str, data_dir: Path | None = None, **made: Any) -> Host:
            if data_dir is None:
                data_dir = make_data_dir(tmp_path / "data", **made)
                write_all(data_dir / "models" / "Lora")
            server = FakeHost(data_dir, flags) if kind == "stand-in" else RealHost(data_dir, flags)
            stack.callback(server.stop)
            server.start()
            return Host(server, data_dir)

        yield begin
