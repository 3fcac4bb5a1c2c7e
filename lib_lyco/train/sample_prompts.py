"""A file of sample prompts, in kohya's syntax: one prompt a line with `--n --w --h --d --l --s --ss`.

Read as sd-scripts reads it (`line_to_prompt_dict`, `load_prompts`): .txt with `#` comments, .toml with
[prompt] and [[prompt.subset]], .json with a list; sizes are rounded down to multiples of 8.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import toml

from lib_lyco.errors import DataError

_LEAST_SIDE, _SIDE_STEP, _MOST_STEPS = 64, 8, 1000

KOHYA_SAMPLERS: Mapping[str, str] = MappingProxyType(
    {
        "ddim": "DDIM",
        "pndm": "PLMS",
        "lms": "LMS",
        "k_lms": "LMS",
        "euler": "Euler",
        "k_euler": "Euler",
        "euler_a": "Euler a",
        "k_euler_a": "Euler a",
        "heun": "Heun",
        "dpm_2": "DPM2",
        "k_dpm_2": "DPM2",
        "dpm_2_a": "DPM2 a",
        "k_dpm_2_a": "DPM2 a",
        "dpmsolver": "DPM++ 2M",
        "dpmsolver++": "DPM++ 2M",
        "dpmsingle": "DPM++ 2S",
    }
)
"""sd-scripts' names of samplers -> the WebUI's."""


@dataclass(frozen=True)
class Picture:
    """What to draw for one prompt."""

    prompt: str
    negative: str = ""
    size: tuple[int, int] = (512, 512)
    """(width, height) in pixels, multiples of 8."""
    steps: int = 30
    guidance: float = 7.5
    sampler: str = "Euler a"
    seed: int | None = None
    """None where the prompt does not say."""
    clip_skip: int = 1
    strength: float = 1.0
    """The multiplier of the network that it is drawn with."""


def sampler_name(name: str) -> str:
    """The WebUI's name of a sampler, from that or from kohya's."""
    return KOHYA_SAMPLERS.get(name, name)


def read_prompts(path: Path, default: Picture) -> list[Picture]:
    """The pictures of a file; what a prompt does not say is `default`'s.

    Raises:
        DataError: The file is missing, cannot be read or understood, or asks for what does not exist here.
    """
    try:
        entries = _entries(path)
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "The file of sample prompts cannot be read.",
            where=str(path),
            got=f"{type(error).__name__}: {error}",
            expected="a .txt with one prompt a line, a .toml or a .json",
        ) from error
    return [
        _picture(_options(entry) if isinstance(entry, str) else entry, default, f"{path}, prompt {number}")
        for number, entry in enumerate(entries, start=1)
    ]


def _entries(path: Path) -> Sequence[str | Mapping[str, Any]]:
    text = path.read_text(encoding="utf-8-sig")
    kind = path.suffix.lower()
    if kind == ".toml":
        shared = toml.loads(text)["prompt"]
        return [{**shared, **subset} for subset in shared["subset"]]
    if kind == ".json":
        return json.loads(text)
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "n": "negative_prompt",
        "w": "width",
        "h": "height",
        "d": "seed",
        "s": "sample_steps",
        "l": "scale",
        "ss": "sample_sampler",
    }
)


def _options(line: str) -> dict[str, Any]:
    prompt, *flags = re.split(r"(?:^|\s)--(?=\w)", line)
    options: dict[str, Any] = {"prompt": prompt.strip()}
    for flag in flags:
        name, _, value = flag.strip().partition(" ")
        options[_FLAGS.get(name.lower(), f"--{name}")] = value.strip()
    return options


def _picture(options: Mapping[str, Any], default: Picture, where: str) -> Picture:
    readers: Mapping[str, Callable[[Any], dict[str, Any]]] = {
        "prompt": lambda value: {"prompt": str(value)},
        "negative_prompt": lambda value: {"negative": str(value)},
        "sample_steps": lambda value: {"steps": max(1, min(_MOST_STEPS, int(value)))},
        "scale": lambda value: {"guidance": float(value)},
        "seed": lambda value: {"seed": int(value)},
        "sample_sampler": lambda value: {"sampler": sampler_name(str(value))},
        "width": lambda value: {},
        "height": lambda value: {},
        "subset": lambda value: {},
        "enum": lambda value: {},
    }
    picture = default
    try:
        for name, value in options.items():
            if name not in readers:
                raise DataError(
                    "A sample prompt asks for something that there is not for Stable Diffusion.",
                    where=where,
                    got=name,
                    expected=", ".join(f"--{flag}" for flag in _FLAGS),
                    remedy="Remove it.",
                )
            picture = replace(picture, **readers[name](value))
        sides = options.get("width", default.size[0]), options.get("height", default.size[1])
        width, height = (max(_LEAST_SIDE, int(side) // _SIDE_STEP * _SIDE_STEP) for side in sides)
    except (ValueError, TypeError) as error:
        raise DataError(
            "A sample prompt has a value that is no number.", where=where, got=str(error)
        ) from error
    return replace(picture, size=(width, height))
