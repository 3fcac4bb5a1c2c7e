"""The sample pictures of a run, for a page: only files that the run itself told of, in its own folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lyco.errors import FileError
from lib_lyco.studio.history import History
from lib_lyco.web.route import Content


class Samples:
    """Remembers the infotexts of pictures, which are never written twice."""

    def __init__(self) -> None:
        self._infos: dict[str, str] = {}

    def told(self, history: History) -> list[dict[str, Any]]:
        """Name, step, prompt, `with_network` and infotext of each picture."""
        return [
            {
                "name": Path(line["path"]).name,
                "step": line["step"],
                "prompt": line["prompt"],
                "with_network": line["with_network"],
                "info": self._info(line["path"]),
            }
            for line in list(history.samples)
        ]

    def picture(self, history: History, output: str, name: str) -> Content:
        """A picture's bytes.

        Raises:
            FileError: The run drew no picture of this name, or it is not there any more.
        """
        folder = (Path(output) / "sample").resolve()
        for line in list(history.samples):
            path = Path(line["path"])
            if path.name == name and path.resolve().parent == folder and path.suffix == ".png":
                with suppress(OSError):
                    return Content(path.read_bytes(), "image/png", keep=True)
        raise FileError("There is no such picture of this run", got=repr(name)[:80])

    def _info(self, path: str) -> str:
        if path not in self._infos:
            try:
                with Image.open(path) as picture:
                    self._infos[path] = str(picture.info.get("parameters", ""))
            except OSError:
                return ""
        return self._infos[path]
