"""Every option of the settings page, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["flag", "choice", "number", "text", "network", "networks"]

SECTION = ("lyco", "Lyco")
"""The page of the settings: the tail of its element's id, and its title."""

CATEGORY = "sd"
"""The host's heading above the page: Stable Diffusion."""


@dataclass(frozen=True)
class Option:
    """One option: what the settings page shows and what `Options` reads."""

    key: str
    kind: Kind
    default: Any
    """Of the type that the kind's component gives back."""
    label: str
    help: str = ""
    choices: tuple[str, ...] = ()
    bounds: dict[str, int] = field(default_factory=dict[str, int])
    """Least, most and step of a number."""
    by_api: bool = True
    """Whether the API may set it."""


OURS = (
    Option(
        "lyco_own_lora",
        "flag",
        True,
        "Lyco acts on <lora:> tags",
        "off: the builtin Lora extension does, and only <lyco:> is ours",
    ),
    Option(
        "lyco_networks",
        "networks",
        [],
        "Networks added to every prompt",
        "with the default strength; a network that the prompt names itself is not added again",
    ),
    Option(
        "lyco_card_name",
        "choice",
        "file name",
        "Name that a card puts into the prompt",
        "the alias is the name under which a network was trained; taken where no other file has it",
        choices=("file name", "alias"),
    ),
    Option(
        "lyco_card_words",
        "choice",
        "activation text",
        "Words that a card puts into the prompt, too",
        "trigger words: the activation text or, where there is none, what the training's captions suggest",
        choices=("activation text", "trigger words", "nothing"),
    ),
    Option(
        "lyco_mode",
        "choice",
        "merge",
        "How networks are applied",
        "merge: into the weights, at full speed; bypass: beside the layers, slower, for the least memory",
        choices=("merge", "bypass"),
    ),
    Option(
        "lyco_memory_mb",
        "number",
        1024,
        "Memory for merged weights that are not in use, in MB",
        "going back to networks used before is then immediate; taken where the model is: on the GPU, "
        "or with --medvram in main memory; on the CPU as much again may be kept for the next merges",
        bounds={"minimum": 0, "maximum": 32768, "step": 64},
    ),
    Option(
        "lyco_cache_mb",
        "number",
        1024,
        "Memory for network files, in MB",
        "main memory; a file that is kept is not read again",
        bounds={"minimum": 0, "maximum": 32768, "step": 64},
    ),
    Option(
        "lyco_report",
        "choice",
        "problems",
        "What stands below a picture about its networks",
        "problems: what went wrong; always: what was applied, too",
        choices=("problems", "always", "never"),
    ),
    Option(
        "lyco_block_presets",
        "text",
        "",
        "File with presets of block weights",
        "for lbw= in a tag; the form of sd-webui-lora-block-weight's lbwpresets.txt and elempresets.txt",
        by_api=False,
    ),
)
"""The options of this extension."""

SHARED = (
    Option("sd_lora", "network", "None", "Network added to every prompt, for the quicksettings"),
    Option(
        "lora_preferred_name",
        "choice",
        "Alias from file",
        "Name that a network gets in a pasted prompt",
        choices=("Alias from file", "Filename"),
    ),
    Option("lora_add_hashes_to_infotext", "flag", True, "Write the hashes of networks into the infotext"),
    Option(
        "lora_bundled_ti_to_infotext",
        "flag",
        True,
        "Write a network's own embeddings into the infotext's TI hashes",
    ),
    Option("lora_not_found_warning_console", "flag", False, "Name networks not found in the console, too"),
    Option("lora_not_found_gradio_warning", "flag", False, "Name networks not found in a popup, too"),
    Option("lora_show_all", "flag", False, "Show networks of other base models among the cards"),
    Option("lora_functional", "flag", False, "Always bypass, whatever the setting above says"),
)
"""Options of the builtin Lora extension that we heed; ours to show only where it is disabled."""
