"""A generated picture as a PNG file with its parameters inside, as the WebUI writes and reads them."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from lib_lyco.errors import FileError
from lib_lyco.models.generate import GenerateRequest

_KEY = "parameters"


def save_png(path: Path, image: Tensor, parameters: str = "") -> None:
    """Writes one picture, (3, h, w) in [0, 1].

    Raises:
        FileError: The file cannot be written.
    """
    pixels = (image.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    info = PngInfo()
    if parameters:
        info.add_text(_KEY, parameters)
    try:
        Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy()).save(path, format="PNG", pnginfo=info)
    except OSError as error:
        raise FileError(
            "The picture cannot be written",
            where=str(path),
            got=str(error),
            remedy="Choose another folder.",
        ) from error


def parameters_text(request: GenerateRequest, index: int, model_name: str) -> str:
    """How picture `index` was made, in the WebUI's form: prompt, negative prompt, one line of settings."""
    width, height = request.size
    settings = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "CFG scale": f"{request.guidance:g}",
        "Seed": request.seeds[index],
        "Size": f"{width}x{height}",
        "Model": model_name,
    }
    if request.clip_skip > 1:
        settings["Clip skip"] = request.clip_skip
    lines = [request.prompts[index]]
    if request.negative:
        lines.append(f"Negative prompt: {request.negative}")
    lines.append(", ".join(f"{name}: {value}" for name, value in settings.items()))
    return "\n".join(lines)
