"""The training tab of `lyco ui` in a process of its own, and of a real WebUI, with the embedded model."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from lib_lyco.demo.concepts import CAT, write_training_folder
from tests.architecture import ROOT
from tests.host.driver import make_data_dir
from tests.host.real import RealHost

pytest.importorskip("playwright")
pytest.importorskip("gradio")

from playwright.sync_api import Browser, Page, expect

from tests.browser.training.dataset import Section, put_set

_PATIENCE = 120.0
"""Seconds for a start, or for a run of a few steps, on a machine that others use too."""


class Ui:
    """`lyco ui`, and its answers.

    Args:
        folder: For its data, and for the training images.
    """

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.images = folder / "images"
        self.output = self.data / "models" / "Lora"
        self.log = folder / "log.txt"
        self.port = _free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[bytes] | None = None
        write_training_folder(self.images, [CAT], size=64)

    def start(self, *arguments: str) -> None:
        """Starts it, and waits until it answers."""
        command = [sys.executable, "-m", "lib_lyco", "ui", "--port", str(self.port)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
        # a shell's background jobs begin with Ctrl-C ignored, and so would what they start
        ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--folder", str(self.data), *arguments],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        signal.signal(signal.SIGINT, ctrl_c)
        self.wait(self._answers, "an answer")

    def end(self, how: int = signal.SIGINT) -> None:
        """Ends it; SIGKILL is the sudden way."""
        if self._process:
            self._process.send_signal(how)
            self._process.wait(_PATIENCE)
            self._process = None

    def get(self, path: str) -> Any:
        """The answer of a route below /lyco/train/."""
        with urllib.request.urlopen(f"{self.address}lyco/train/{path}", timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The same of a POST."""
        request = urllib.request.Request(
            f"{self.address}lyco/train/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def config(self, **values: Any) -> dict[str, Any]:
        """Options of a short run on a few small images."""
        return {
            "images": str(self.images),
            "resolution": [64, 64],
            "buckets": False,
            "repeats": 1,
            "max_steps": 4,
            "rank": 1,
            "te_learning_rate": [0.0],
            "learning_rate": 1e-2,
            "save_precision": "fp32",
            "name": "cat",
            **values,
        }

    def submit(self, kind: str = "train", **values: Any) -> str:
        """Queues a short run; its id."""
        return self.post("runs", {"config": self.config(**values), "kind": kind})["id"]

    def wait_for(self, id: str, *states: str, step: int = 0) -> dict[str, Any]:
        """The run, as soon as it has one of the states, and made so many steps."""

        def there() -> dict[str, Any] | None:
            run = self.get(f"runs/{id}")
            return run if run["state"] in states and run["step"] >= step else None

        return self.wait(there, f"{id} {' or '.join(states)}")

    def wait(self, ask: Callable[[], Any], what: str) -> Any:
        """The first answer that says yes."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            answer = ask()
            if answer:
                return answer
            time.sleep(0.1)
        raise TimeoutError(f"waited for {what}; {self.log.read_text(encoding='utf-8')[-3000:]}")

    def show(self, page: Page) -> None:
        """Loads the page, and opens the tab."""
        page.goto(self.address)
        page.locator("#lyco_train .lyco-train-tabs").wait_for(state="attached")

    def _answers(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise RuntimeError(self.log.read_text(encoding="utf-8"))
        try:
            return bool(self.get("runs"))
        except (urllib.error.URLError, OSError):
            return False


class WebUi(Ui):
    """The same in the WebUI that WEBUI_DIR names."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        make_data_dir(self.data)
        self.log = self.data / "host.log"
        self._server = RealHost(self.data)
        self.address = f"{self._server.address}/"

    def start(self, *arguments: str) -> None:
        """Starts it, and waits until it answers."""
        assert not arguments, "flags of lyco ui"
        self._server.start()

    def end(self, how: int = signal.SIGINT) -> None:
        """Ends it in its own way."""
        self._server.stop()

    def show(self, page: Page) -> None:
        """Loads the page, and opens the tab."""
        super().show(page)
        page.get_by_role("tab", name="Train LoRA").or_(
            page.get_by_role("button", name="Train LoRA")
        ).click()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module", params=["lyco ui", pytest.param("webui", marks=pytest.mark.host)])
def ui(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Ui]:
    """It, started; one for all tests of a file."""
    if request.param == "webui" and not os.environ.get("WEBUI_DIR"):
        pytest.skip("WEBUI_DIR names no WebUI")
    if int(importlib.metadata.version("gradio").split(".")[0]) < 4:
        pytest.skip("lyco ui needs a newer gradio")
    kind = WebUi if request.param == "webui" else Ui
    ui = kind(tmp_path_factory.mktemp("ui"))
    try:
        ui.start()
        yield ui
    finally:
        ui.end(signal.SIGKILL)


@pytest.fixture
def training_page(browser: Browser, ui: Ui) -> Generator[Page]:
    """Its page, loaded. An error in a script of ours fails the test."""
    errors: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
    ui.show(page)
    yield page
    page.close()
    assert not [error for error in errors if "lyco" in error]


@pytest.fixture(autouse=True)
def patience() -> Generator[None]:
    """A machine that others use too is slow at times."""
    expect.set_options(timeout=40_000)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images with captions, in a numbered folder."""
    put_set(tmp_path / "3_set")
    return tmp_path / "3_set"


@pytest.fixture
def section(training_page: Page, folder: Path) -> Generator[Section]:
    """The section with the folder opened."""
    section = Section(training_page)
    section.open(folder)
    expect(section.tiles).to_have_count(4)
    yield section
