"""Runs in a host under test: submitted, waited for, asked to end, as the page does it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import skimage
from PIL import Image

from tests.host.driver import Host

PATIENCE = 400.0
OVER = ("finished", "stopped", "failed", "interrupted", "paused")
_PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
_T = TypeVar("_T")


class Trainer:
    """The training tab of a host.

    Args:
        host: With the extension.
        folder: For images.
    """

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.images = folder / "images"
        self.prompts = folder / "prompts.txt"
        for name in ("chelsea", "coffee"):
            place = self.images / "10_photograph" / f"{name}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(_PHOTOGRAPHS / f"{name}.png") as photograph:
                photograph.convert("RGB").resize((64, 64)).save(place)
            place.with_suffix(".txt").write_text(f"a photograph of {name}", encoding="utf-8")
        self.prompts.write_text("a red circle --d 5 --s 4 --ss ddim --l 3\n", encoding="utf-8")

    def submit(self, name: str, **options: Any) -> str:
        """Queues a run of 20 steps, or as the options say; its id."""
        config = {
            **{"images": str(self.images), "name": name, "overwrite": True, "epochs": 1, "batch_size": 1},
            **{"resolution": [64, 64], "bucket_min": 64, "bucket_max": 64, "rank": 4, **options},
        }
        body = {"config": config, "kind": "train"}
        return self.host.request("POST", "/lyco/train/runs", body)["id"]

    def told(self, run: str) -> dict[str, Any]:
        """All that is told of a run; nothing for one that was discarded."""
        status, answer = self.host.transport.call("GET", f"/lyco/train/runs/{run}")
        return answer if status == 200 else {"state": "discarded", "step": 0}

    def act(self, run: str, action: str) -> None:
        """Presses one of its buttons."""
        self.host.request("POST", f"/lyco/train/runs/{run}/do", {"action": action})

    def wait(self, run: str, *states: str, step: int = 0) -> dict[str, Any]:
        """Until it stands so, and has made this step."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            told = self.told(run)
            if told["state"] in states and (told["step"] or 0) >= step:
                return told
            assert told["state"] not in OVER, (told["state"], told["step"], told.get("message"))
            time.sleep(0.1)
        raise TimeoutError(f"still {self.told(run)['state']}")

    def begin(self, name: str, **options: Any) -> str:
        """A run that has made a step."""
        run = self.submit(name, **options)
        self.wait(run, "training", step=1)
        return run

    def end(self, run: str) -> dict[str, Any]:
        """Stops a run."""
        self.act(run, "stop")
        self.until(lambda: self.told(run)["state"] in ("stopped", "finished"))
        return self.told(run)

    def until(self, holds: Callable[[], bool]) -> None:
        """Until something holds."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.1)


def beside(*jobs: Callable[[], _T]) -> list[_T]:
    """The results of several requests at once."""
    results: dict[int, _T] = {}

    def do(number: int) -> None:
        results[number] = jobs[number]()

    threads = [threading.Thread(target=do, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return [results[number] for number in range(len(jobs))]
