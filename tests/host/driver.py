"""What the tests need of a host, over HTTP or in the process: one class, two transports."""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from lib_lyco.demo.export import NAME, export

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).with_name("probe_extension")

DRAWN = {"steps": 4, "seed": 1, "width": 64, "height": 64, "cfg_scale": 3.0, "sampler_name": "DDIM"}
"""What a picture is unless a test says otherwise."""

SETTINGS = {
    "live_previews_enable": False,
    "show_progress_type": "Approx cheap",
    "samples_save": False,
    "grid_save": False,
    "sd_checkpoint_cache": 0,
    "return_grid": False,
}


class HostError(Exception):
    """The host answered with an error."""

    def __init__(self, status: int, answer: Any) -> None:
        super().__init__(f"{status}: {answer}")
        self.status = status


class Transport(Protocol):
    """A running host."""

    @property
    def log(self) -> str:
        """Everything it printed."""
        ...

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: dict[str, Any] | None = None,
        user: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """One request: status and answer. `user` is name:password."""
        ...

    def wait(self) -> None:
        """Until it answers again after a reload."""
        ...

    def stop(self) -> None:
        """Ends it."""
        ...


@dataclass(frozen=True)
class Picture:
    """Everything one job gave."""

    pixels: NDArray[np.uint8]
    """(n, h, w, 3)"""
    infotexts: tuple[str, ...]
    comments: str
    """What stands below the picture, a line each."""

    @property
    def infotext(self) -> str:
        """The first picture's."""
        return self.infotexts[0]

    def distance(self, other: Picture) -> int:
        """The largest difference of two pixels, 0 to 255."""
        return int(np.abs(self.pixels.astype(int) - other.pixels.astype(int)).max())

    def like(self, other: Picture) -> bool:
        """Whether both come from the same weights, up to the last bit of float32 sums in another order."""
        return self.distance(other) <= 2


class Host:
    """Asks a host for pictures, settings and its inside."""

    def __init__(self, transport: Transport, data_dir: Path) -> None:
        self.transport = transport
        self.data_dir = data_dir
        self.networks = data_dir / "models" / "Lora"
        self.checkpoints = data_dir / "models" / "Stable-diffusion"

    @property
    def log(self) -> str:
        """Everything the host printed."""
        return self.transport.log

    def request(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The answer.

        Raises:
            HostError: it is not 200.
        """
        status, answer = self.transport.call(method, path, body, query)
        if status != 200:
            raise HostError(status, answer)
        return answer

    def status(
        self,
        method: str,
        path: str,
        user: str | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> int:
        """Whether a route is there, and for whom."""
        return self.transport.call(method, path, body, query, user, headers)[0]

    def ask(self, question: str, **arguments: Any) -> Any:
        """A question to the probe extension."""
        return self.request("POST", f"/lyco-test/{question}", **arguments)

    def txt2img(self, prompt: str, **fields: Any) -> Picture:
        """Draws; fields as in the API."""
        return self._draw("txt2img", {"prompt": prompt, **fields})

    def img2img(self, prompt: str, picture: Picture, **fields: Any) -> Picture:
        """Draws over a picture's first."""
        data = io.BytesIO()
        Image.fromarray(picture.pixels[0]).save(data, "png")
        image = base64.b64encode(data.getvalue()).decode()
        return self._draw(
            "img2img", {"prompt": prompt, "init_images": [image], "denoising_strength": 0.6, **fields}
        )

    def _draw(self, tab: str, fields: dict[str, Any], skip: int = 0) -> Picture:
        answer = self.request("POST", f"/sdapi/v1/{tab}", {**DRAWN, **fields})
        pictures = [
            Image.open(io.BytesIO(binascii.a2b_base64(text))).convert("RGB")
            for text in answer["images"][skip:]
        ]
        infotexts = json.loads(answer["info"])["infotexts"]
        pixels = (
            np.stack([np.asarray(picture) for picture in pictures])
            if pictures
            else np.zeros((0, 0, 0, 3), "u1")
        )
        return Picture(pixels, tuple(infotexts[skip:]), self.ask("comments")["text"])

    def plot(self, prompt: str, axes: Mapping[str, Sequence[str]]) -> Picture:
        """An X/Y/Z plot over one to three axes; its cells, without the grid."""
        numbers = {found["label"]: place for place, found in enumerate(self.ask("axes"))}
        chosen: list[Any] = []
        for axis, values in axes.items():
            text = ",".join(f'"{value}"' if "," in value else value for value in values)
            chosen += [numbers[axis], text, list(values)]
        args = [
            *chosen,
            *[0, "", []] * (3 - len(axes)),
            False,
            True,
            False,
            False,
            *[False] * 3,
            0,
            True,
        ]
        fields = {"prompt": prompt, "script_name": "x/y/z plot", "script_args": args}
        return self._draw("txt2img", fields, skip=1)

    def options(self) -> dict[str, Any]:
        """All settings."""
        return self.request("GET", "/sdapi/v1/options")

    def set_options(self, **options: Any) -> None:
        """Changes settings, as the settings page does."""
        self.request("POST", "/sdapi/v1/options", options)

    def use(self, checkpoint: str) -> None:
        """Changes the checkpoint, by the stem of its file."""
        self.request("POST", "/sdapi/v1/refresh-checkpoints")
        (title,) = (
            found["title"]
            for found in self.request("GET", "/sdapi/v1/sd-models")
            if found["model_name"] == checkpoint
        )
        self.set_options(sd_model_checkpoint=title)

    def write(
        self, name: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
    ) -> Path:
        """A network file; `name` may have folders."""
        path = self.networks / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in tensors.items()}, path, dict(metadata or {}))
        return path

    def write_checkpoint(self, name: str, tensors: Mapping[str, Tensor], inpainting: bool = False) -> None:
        """A base model of the embedded one's architecture, for `use`; for inpainting with nine channels."""
        path = self.checkpoints / f"{name}.safetensors"
        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
        config = (self.checkpoints / f"{NAME}.yaml").read_text(encoding="utf-8")
        if inpainting:
            config = config.replace("in_channels: 4", "in_channels: 9")
            config = config.replace("conditioning_key: crossattn", "conditioning_key: hybrid")
        path.with_suffix(".yaml").write_text(config, encoding="utf-8")

    def reload_ui(self) -> None:
        """Presses Reload UI and waits."""
        self.ask("reload_ui")
        self.transport.wait()


def make_data_dir(folder: Path, extension: bool = True, options: Mapping[str, Any] | None = None) -> Path:
    """A data dir with the embedded model and the probe; with ours, as `lyco`, or without."""
    for name in ("models/Lora", "models/LyCORIS", "extensions", "embeddings"):
        (folder / name).mkdir(parents=True)
    export(folder / "models" / "Stable-diffusion")
    (folder / "config.json").write_text(json.dumps({**SETTINGS, **(options or {})}), encoding="utf-8")
    (folder / "extensions" / "probe").symlink_to(PROBE, target_is_directory=True)
    if extension:
        (folder / "extensions" / "lyco").symlink_to(ROOT, target_is_directory=True)
    return folder
