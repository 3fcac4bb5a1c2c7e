"""Sample pictures of a training, without a host: the file is applied as for any user, diffusers samples."""

from __future__ import annotations

from pathlib import Path

from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from lib_lyco.models.base import BaseModel
from lib_lyco.models.generate import GenerateRequest, generate
from lib_lyco.models.png import parameters_text, save_png
from lib_lyco.network.load import load_network
from lib_lyco.train.sample_prompts import Picture


def draw(model: BaseModel, picture: Picture, network: Path | None, to: Path) -> None:
    """Draws a picture into a file, with the network of a file or without; see `Draw`.

    Raises:
        LycoError: The picture asked for cannot be drawn, or not written.
    """
    request = GenerateRequest(
        prompts=[picture.prompt],
        seeds=[picture.seed or 0],
        negative=picture.negative,
        steps=picture.steps,
        guidance=picture.guidance,
        sampler=picture.sampler,
        size=picture.size,
        clip_skip=picture.clip_skip,
    )
    with Session(model.targets()) as session:
        strength = picture.strength
        session.apply([Wanted(load_network(network), te=strength, unet=strength)] if network else [])
        image = generate(model, request)[0]
    save_png(to, image, parameters_text(request, 0, model.name))
