"""Made-up SD2 and SDXL so small that the WebUI draws with them in a second."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from lib_lyco.demo.export import NAME, text_config
from lib_lyco.demo.madeup import Known, small_plan, write_checkpoint


def write_small(folder: Path, family: Known) -> str:
    """Writes a base model and its .yaml into the WebUI's folder, where the embedded model is already.

    Its .yaml asks for text encoders of the real depth and a small width: OpenCLIP's are configurations
    that the probe extension adds, CLIP's is a folder with a tokenizer, as the embedded model has.

    Returns:
        The checkpoint's name.
    """
    path = write_checkpoint(folder / f"small-{family}.safetensors", family, dtype=torch.float32)
    config = json.loads(path.with_suffix(".yaml").read_text(encoding="utf-8"))
    params = config["model"]["params"]
    if family == "sd2":
        params["cond_stage_config"]["params"]["arch"] = "lyco-small-H"
    else:
        clip, open_clip = params["conditioner_config"]["params"]["emb_models"][:2]
        clip["params"]["version"] = str(_text_encoder(folder, small_plan(family).texts["te1"].width))
        open_clip["params"]["arch"] = "lyco-small-bigG"
    path.with_suffix(".yaml").write_text(json.dumps(config), encoding="utf-8")
    return path.stem


def _text_encoder(folder: Path, width: int) -> Path:
    """The embedded model's tokenizer beside the configuration of a wider CLIP."""
    made = folder / "small-text-encoder"
    made.mkdir(exist_ok=True)
    for file in (folder / f"{NAME}-text-encoder").iterdir():
        (made / file.name).write_bytes(file.read_bytes())
    config = {
        **text_config(),
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "projection_dim": width,
    }
    (made / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return made
