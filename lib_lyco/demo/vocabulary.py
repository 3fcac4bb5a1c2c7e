"""CLIP's vocabulary as the files that a WebUI's tokenizer reads."""

import json
from pathlib import Path
from typing import Any

from lib_lyco.models.tokenizer import clip_tokenizer

VOCABULARY_SIZE = 49_408
POSITIONS = 77
START, END = "<|startoftext|>", "<|endoftext|>"


def vocabulary() -> dict[str, int]:
    """Every token and its number, ``VOCABULARY_SIZE`` of them.

    Raises:
        MissingPackageError: no installed package carries CLIP's byte-pair file.
    """
    tokens = clip_tokenizer().tokenizer.get_vocab()
    return dict(sorted(tokens.items(), key=lambda item: item[1]))


def merges() -> list[str]:
    """The merge rules, best first, each two symbols with a blank between."""
    content: Any = json.loads(clip_tokenizer().tokenizer.to_str())
    # newer versions of tokenizers write pairs, older ones a string
    return [rule if isinstance(rule, str) else " ".join(rule) for rule in content["model"]["merges"]]


def write_tokenizer(folder: Path) -> list[Path]:
    """Writes the files of an SD1 tokenizer: vocab.json, merges.txt and two small configurations."""
    folder.mkdir(parents=True, exist_ok=True)
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    config = {**special, "tokenizer_class": "CLIPTokenizer", "model_max_length": POSITIONS}
    config |= {"do_lower_case": True, "add_prefix_space": False, "errors": "replace"}
    texts = {
        "vocab.json": json.dumps(vocabulary(), ensure_ascii=False),
        "merges.txt": "#version: 0.2\n" + "\n".join(merges()) + "\n",
        "special_tokens_map.json": json.dumps(special, indent=2),
        "tokenizer_config.json": json.dumps(config, indent=2),
    }
    for name, text in texts.items():
        with (folder / name).open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return [folder / name for name in texts]
