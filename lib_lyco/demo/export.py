"""Writes the embedded model as files that a WebUI loads.

A WebUI finds the architecture in the .yaml of the same stem, and the text
encoder's width and vocabulary in a folder that the .yaml names.
"""

import json
import shutil
from pathlib import Path

from lib_lyco.demo import embedded
from lib_lyco.demo.vocabulary import VOCABULARY_SIZE, write_tokenizer

NAME = "lyco-embedded"
_PLACEHOLDER = '"openai/clip-vit-large-patch14"'


def text_config() -> dict[str, object]:
    """The text encoder's config.json: 12 layers of width 32 with the real vocabulary."""
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": 32,
        "intermediate_size": 128,
        "projection_dim": 32,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "attention_dropout": 0.0,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "bos_token_id": 49_406,
        "eos_token_id": 49_407,
        "pad_token_id": 1,
    }


def export(folder: Path) -> list[Path]:
    """Copies the model into ``folder`` with everything beside it that a WebUI asks for.

    Move the files and the .yaml still names this folder's text encoder: export again
    instead.

    Args:
        folder: the WebUI's models/Stable-diffusion, or any other; made if missing.

    Returns:
        The files written, the checkpoint first.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / f"{NAME}-text-encoder"
    checkpoint, config = folder / f"{NAME}.safetensors", folder / f"{NAME}.yaml"
    shutil.copyfile(embedded.checkpoint(), checkpoint)
    lines = embedded.config().read_text(encoding="utf-8")
    config.write_text(lines.replace(_PLACEHOLDER, json.dumps(text.as_posix())), encoding="utf-8")
    tokenizer = write_tokenizer(text)
    (text / "config.json").write_text(json.dumps(text_config(), indent=2), encoding="utf-8")
    return [checkpoint, config, text / "config.json", *tokenizer]
