"""Test-only: stand-ins for the weights of the host's taggers, and what its own code makes of them."""

# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# (typings/ declares what the extension uses of the host; this uses more)

from pathlib import Path
from typing import Any

import torch
from modules import devices, script_callbacks, shared
from modules.paths_internal import models_path
from PIL import Image
from torch import Tensor, nn

TAGS = ["red_thing", "green_thing", "blue_thing", "never_seen", "rating:safe"]


class Booru(nn.Module):
    """How red, green and blue a picture is; (1, h, w, 3) from 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.tags = TAGS

    def forward(self, pixels: Tensor) -> Tensor:
        assert pixels.shape[1:] == (512, 512, 3), pixels.shape
        means = pixels.mean((1, 2)) * self.scale
        return torch.cat([means, means[:, :1] * 0, means[:, :1] * 0 + 0.9], 1)


class Captioner(nn.Module):
    """A sentence that tells what it was shown and asked."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def generate(
        self, pixels: Tensor, sample: bool, num_beams: int, min_length: int, max_length: int
    ) -> Any:
        assert pixels.dtype == self.scale.dtype and not sample
        shown = " ".join(f"{value:.3f}" for value in pixels.float().mean((0, 2, 3)).tolist())
        return [f"a picture of {shown} by {num_beams} beams in {min_length} to {max_length} words"]


def put_booru() -> None:
    """As if DeepBooru's model were on this machine, and loaded."""
    from modules import deepbooru  # a stand-in of the host has none

    folder = Path(models_path, "torch_deepdanbooru")
    folder.mkdir(exist_ok=True)
    (folder / "stand-in.pt").touch()
    deepbooru.model.model = Booru()


def take_booru() -> None:
    """As if it were not."""
    from modules import deepbooru

    Path(models_path, "torch_deepdanbooru", "stand-in.pt").unlink()
    deepbooru.model.model = None


def caption(image: str, is_loaded: bool) -> dict[str, Any]:
    """BLIP's sentence by our tagger and by the host's own function, and what is left of it."""
    from lib_lyco.host.taggers import Blip

    interrogator = shared.interrogator
    interrogator.load_blip_model = Captioner
    if is_loaded:
        interrogator.blip_model = Captioner()
    interrogator.dtype = torch.float64  # not the model's
    picture = Image.open(image).convert("RGB")
    with Blip().open() as look:
        (guess,) = look(picture)
    left = str(interrogator.dtype)
    interrogator.dtype = torch.float32
    expected = interrogator.generate_caption(picture)
    place = str(interrogator.blip_model.scale.device)
    interrogator.blip_model = None
    del interrogator.load_blip_model
    return {
        "sentence": [guess.text, guess.category],
        "expected": expected,
        "dtype": left,
        "place": place,
        "clip": interrogator.clip_model is None,
        "device": str(devices.device_interrogate),
    }


QUESTIONS = (put_booru, take_booru, caption)


def add_routes(_: Any, app: Any) -> None:
    """POST, arguments in the query."""
    for question in QUESTIONS:
        app.add_api_route(f"/lyco-test/{question.__name__}", question, methods=["POST"])


script_callbacks.on_app_started(add_routes)
