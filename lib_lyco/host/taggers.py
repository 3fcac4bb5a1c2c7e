"""What the WebUI has for looking at images: deepbooru and BLIP, as taggers.

Under the WebUI's lock, given back between two images, so that pictures can be drawn meanwhile. The WebUI
downloads what it lacks without asking; so nothing is loaded here whose files are not there.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy
import torch
from modules import devices, images, shared
from modules.call_queue import queue_lock
from modules.paths_internal import models_path
from PIL import Image

from lib_lyco.studio.dataset.tagger import Category, Guess, Look, Tagger

_SIDE = 512
_RESIZE_AND_FILL = 2
_RATING = "rating:"
_USED = ("blip_model", "load_blip_model", "generate_caption", "send_blip_to_ram", "running_on_cpu", "dtype")
"""Of the WebUI's interrogator; its forks have others."""
_TEXT_MODEL, _TEXT_FILE = "bert-base-uncased", "vocab.txt"


def host_taggers() -> Sequence[Tagger]:
    """Both, also where they cannot be used now."""
    return Deepbooru(), Blip()


class Deepbooru:
    """DeepDanbooru, by tags with scores.

    Source: `modules/deepbooru.py`: 512x512 filled up, shares of 255, a score for each tag.
    """

    id = "deepbooru"
    title = "DeepBooru"
    makes_sentences = False

    def kinds(self) -> Mapping[str, Category]:
        return {}  # its list says nothing of them

    @property
    def problem(self) -> str:
        return _missing("torch_deepdanbooru", "*.pt", "DeepBooru")

    @contextmanager
    def open(self) -> Generator[Look]:
        """Loads it, and puts it away as the WebUI does."""
        model: Any = import_module("modules.deepbooru").model
        with queue_lock:
            model.start()

        def look(image: Image.Image) -> Sequence[Guess]:
            with queue_lock:
                # the WebUI's own interrogation may have come between, and put it away
                model.start()
                return _tags(model.model, image)

        try:
            yield look
        finally:
            with queue_lock:
                model.stop()


class Blip:
    """BLIP, by a sentence, with the WebUI's own settings for it."""

    id = "blip"
    title = "BLIP"
    makes_sentences = True

    def kinds(self) -> Mapping[str, Category]:
        return {}

    @property
    def problem(self) -> str:
        if not all(hasattr(vars(shared).get("interrogator"), name) for name in _USED):
            return "It is made in another way in this WebUI."
        if not _has_tokenizer():
            return (
                "Its tokenizer is not on this machine. Use Interrogate CLIP in img2img once, which gets it."
            )
        return _missing("BLIP", "*.pth", "CLIP")

    @contextmanager
    def open(self) -> Generator[Look]:
        """Loads it without the CLIP model that the WebUI would load beside it, and puts it away."""
        interrogator: Any = vars(shared)["interrogator"]
        place = vars(devices)["device_interrogate"]
        before = interrogator.dtype
        with queue_lock:
            if interrogator.blip_model is None:
                model = interrogator.load_blip_model()
                is_half = not (shared.cmd_opts.no_half or interrogator.running_on_cpu)
                interrogator.blip_model = model.half() if is_half else model
            interrogator.blip_model = interrogator.blip_model.to(place)

        def look(image: Image.Image) -> Sequence[Guess]:
            with queue_lock:
                interrogator.blip_model = interrogator.blip_model.to(place)
                interrogator.dtype = next(interrogator.blip_model.parameters()).dtype
                return [Guess(interrogator.generate_caption(image), category="sentence")]

        try:
            yield look
        finally:
            with queue_lock:
                interrogator.dtype = before
                interrogator.send_blip_to_ram()
                vars(devices)["torch_gc"]()


def _tags(model: Any, image: Image.Image) -> Sequence[Guess]:
    filled = images.resize_image(_RESIZE_AND_FILL, image, _SIDE, _SIDE)
    weight = next(model.parameters())
    pixels = torch.from_numpy(numpy.array(filled, dtype=numpy.float32)[None] / 255)
    with torch.no_grad(), _autocast():
        scores = model(pixels.to(weight.device, weight.dtype))[0].float().cpu().tolist()
    return [_guess(tag, score) for tag, score in zip(model.tags, scores, strict=True)]


def _guess(tag: str, score: float) -> Guess:
    if tag.startswith(_RATING):
        return Guess(tag.removeprefix(_RATING), score, "rating")
    return Guess(tag, score)


def _autocast() -> AbstractContextManager[Any]:
    autocast = vars(devices).get("autocast")
    return autocast() if autocast else nullcontext()


def _missing(folder: str, pattern: str, button: str) -> str:
    if any(Path(models_path, folder).glob(pattern)):
        return ""
    return f"Its model is not on this machine. Use Interrogate {button} in img2img once, which gets it."


def _has_tokenizer() -> bool:
    """Whether the tokenizer that BLIP asks Hugging Face for is in its cache."""
    try:
        found = import_module("huggingface_hub").try_to_load_from_cache(_TEXT_MODEL, _TEXT_FILE)
    except (ImportError, ValueError):
        return False
    return isinstance(found, str)
