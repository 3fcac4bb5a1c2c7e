"""A real WebUI as a subprocess, on the CPU, with a data dir of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FLAGS = (
    "--skip-prepare-environment",
    "--skip-torch-cuda-test",
    *("--use-cpu", "all"),
    *("--no-half", "--no-half-vae"),
    *("--no-download-sd-model", "--do-not-download-clip"),
    "--disable-console-progressbars",
)
PATIENCE = 300.0
"""Seconds to wait for a start or a picture."""


class RealHost:
    """One run of the WebUI that WEBUI_DIR names, by WEBUI_PYTHON or the interpreter of the tests."""

    def __init__(self, data_dir: Path, flags: Sequence[str] = ("--api",)) -> None:
        self._folder = Path(os.environ["WEBUI_DIR"])
        self._data_dir = data_dir
        self._flags = flags
        self._log = data_dir / "host.log"
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = found.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Of its page, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """Everything it printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Starts it and waits for the API and the model."""
        environment = {
            name: value for name, value in os.environ.items() if name not in ("COMMANDLINE_ARGS",)
        }
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        environment |= {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
        command = [os.environ.get("WEBUI_PYTHON", sys.executable), "launch.py", *FLAGS, *self._flags]
        command += ["--data-dir", str(self._data_dir), "--port", str(self._port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        self.wait()

    def wait(self) -> None:
        """Until the model is loaded and the last of the routes is there."""
        assert self._process is not None
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            time.sleep(0.3)
            assert self._process.poll() is None, f"the WebUI stopped:\n{self.log[-4000:]}"
            ready = self.log.count("Startup time:") > self.log.count("Restarting UI...")
            if ready and "Model loaded in" in self.log:
                with contextlib.suppress(OSError):
                    self.call("POST", "/lyco-test/comments")
                    return
        raise TimeoutError(f"the WebUI does not answer:\n{self.log[-4000:]}")

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: dict[str, Any] | None = None,
        user: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """One request: status and answer."""
        address = f"{self.address}{path}?{urllib.parse.urlencode(query or {})}"
        sent = {"Content-Type": "application/json", **(headers or {})}
        if user:
            sent["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        if user and "--gradio-auth" in self._flags:
            sent["Cookie"] = self._login(user)
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, _read(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _read(error.read())

    def _login(self, user: str) -> str:
        """The cookies of whoever logs in at the page, none for a wrong password."""
        name, _, password = user.partition(":")
        form = urllib.parse.urlencode({"username": name, "password": password}).encode()
        try:
            with urllib.request.urlopen(f"{self.address}/login", form) as answer:
                cookies = answer.headers.get_all("Set-Cookie")
        except urllib.error.HTTPError:
            return ""
        return "; ".join(cookie.partition(";")[0] for cookie in cookies)

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _read(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")
