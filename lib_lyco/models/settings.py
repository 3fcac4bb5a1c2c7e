"""What the shapes of a base model's tensors cannot tell, and where each of it is looked up.

For each value the first source that has it wins: what the caller says, the checkpoint's own marker
tensors (`v_pred`, `ztsnr`), the `.yaml` of the same name beside the file, the file's metadata, the
family's published value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from lib_lyco.errors import ModelError
from lib_lyco.models.base import Prediction
from lib_lyco.models.plan import ModelPlan, Shapes
from lib_lyco.naming.layer import Component

FACTS_KEY = "lyco_demo"
"""Metadata of our own models, whose heads are not the published ones: JSON with `unet_heads`, a number,
and `text_heads`, a number or one for each text encoder."""

_HEAD_WIDTH = 64
_SD1_HEADS = 8
_VECTOR_TERMS = 6
_LATENT_SCALES = {"sd1": 0.18215, "sd2": 0.18215, "sdxl": 0.13025}


@dataclass(frozen=True)
class Settings:
    """The values beside the weights."""

    unet_heads: tuple[int, ...]
    """Attention heads at each level of the denoiser, top to bottom."""
    text_heads: Mapping[Component, int]
    prediction: Prediction | None
    """None if nothing tells (an SD2 file may be either)."""
    zero_terminal_snr: bool = False
    latent_scale: float = 0.18215
    beta_range: tuple[float, float] = (0.00085, 0.012)
    num_timesteps: int = 1000

    def size_width(self, plan: ModelPlan) -> int:
        """Width of each of SDXL's six size numbers inside the vector that `add_embedding` reads."""
        return (plan.unet.vector - plan.texts["te2"].width) // _VECTOR_TERMS


@dataclass(frozen=True)
class Clues:
    """Where settings are looked up."""

    path: Path
    """The checkpoint; a `.yaml` of the same stem may lie beside it."""
    shapes: Shapes
    metadata: Mapping[str, str]


def read_settings(plan: ModelPlan, clues: Clues, prediction: Prediction | None = None) -> Settings:
    """The settings of a checkpoint.

    Raises:
        ModelError: The `.yaml` or the metadata cannot be read, or the number of heads is neither
            written down nor the published one.
    """
    params = _Yaml.beside(clues.path)
    facts = _stated_facts(clues)
    return Settings(
        unet_heads=_unet_heads(plan, params, facts.unet_heads, clues.path),
        text_heads={c: _text_heads(plan, c, facts.text(i), clues.path) for i, c in enumerate(plan.texts)},
        prediction=prediction or _prediction(plan, params, clues),
        zero_terminal_snr="ztsnr" in clues.shapes,
        latent_scale=params.number("scale_factor") or _LATENT_SCALES[plan.family],
        beta_range=(params.number("linear_start") or 0.00085, params.number("linear_end") or 0.012),
        num_timesteps=int(params.number("timesteps") or 1000),
    )


class _Yaml:
    """The `model.params` of an ldm or sgm configuration."""

    def __init__(self, params: Mapping[str, object]) -> None:
        self._params = params

    @classmethod
    def beside(cls, checkpoint: Path) -> _Yaml:
        path = checkpoint.with_suffix(".yaml")
        if not path.is_file():
            return cls({})
        try:
            content: object = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ModelError(
                "The base model's .yaml cannot be read",
                where=str(path),
                got=str(error),
                remedy="Mend it, or move it away: the published values are then taken.",
            ) from error
        return cls(_mapping(_mapping(_mapping(content).get("model")).get("params")))

    def number(self, name: str) -> float | None:
        value = self._params.get(name)
        return float(value) if isinstance(value, (int, float)) else None

    def denoiser(self, name: str) -> int | None:
        """A parameter of the denoiser: `unet_config` in ldm, `network_config` in sgm."""
        for section in ("unet_config", "network_config"):
            value = _mapping(_mapping(self._params.get(section)).get("params")).get(name)
            if isinstance(value, int) and value > 0:
                return value
        return None

    def predicts_v(self) -> bool | None:
        stated = self._params.get("parameterization")
        if isinstance(stated, str):
            return stated == "v"
        scaling = _mapping(_mapping(self._params.get("denoiser_config")).get("params")).get(
            "scaling_config"
        )
        target = _mapping(scaling).get("target")
        return target.endswith("VScaling") if isinstance(target, str) else None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class _Facts:
    unet_heads: int | None = None
    text_heads: tuple[int, ...] = ()

    def text(self, index: int) -> int | None:
        """Heads of the text encoder `index`; one number serves all."""
        return self.text_heads[min(index, len(self.text_heads) - 1)] if self.text_heads else None


def _stated_facts(clues: Clues) -> _Facts:
    text = clues.metadata.get(FACTS_KEY)
    if text is None:
        return _Facts()
    try:
        facts = _mapping(json.loads(text))
    except json.JSONDecodeError:
        facts = {}
    unet, texts = facts.get("unet_heads"), facts.get("text_heads")
    texts = texts if isinstance(texts, list) else [texts]
    numbers = [n for n in (unet, *texts) if isinstance(n, int) and n > 0]
    if len(numbers) != 1 + len(texts):
        raise ModelError(
            "The base model's numbers of heads cannot be read",
            where=f"{clues.path}, metadata {FACTS_KEY}",
            got=text[:200],
            expected='JSON such as {"unet_heads": 8, "text_heads": [4]}',
        )
    return _Facts(numbers[0], tuple(numbers[1:]))


def _unet_heads(plan: ModelPlan, params: _Yaml, stated: int | None, path: Path) -> tuple[int, ...]:
    channels = plan.unet.channels
    same = stated or params.denoiser("num_heads")
    if not same and plan.family == "sd1" and not params.denoiser("num_head_channels"):
        same = _SD1_HEADS
    if same:
        if any(c % same for c in channels):
            raise _unknown_heads("unet", f"widths {channels} and {same} heads", path)
        return tuple(same for _ in channels)
    width = params.denoiser("num_head_channels") or _HEAD_WIDTH
    if any(c % width for c, depth in zip(channels, plan.unet.depths, strict=True) if depth):
        raise _unknown_heads("unet", f"widths {channels}, not multiples of {width}", path)
    return tuple(max(1, c // width) for c in channels)


def _text_heads(plan: ModelPlan, component: Component, stated: int | None, path: Path) -> int:
    width = plan.texts[component].width
    if stated:
        if width % stated:
            raise _unknown_heads(component, f"width {width} and {stated} heads", path)
        return stated
    if width % _HEAD_WIDTH:
        raise _unknown_heads(component, f"width {width}, not a multiple of {_HEAD_WIDTH}", path)
    return width // _HEAD_WIDTH


def _unknown_heads(component: str, got: str, path: Path) -> ModelError:
    return ModelError(
        "The base model's number of attention heads is not known",
        where=f"{component} in {path}",
        got=got,
        expected=f"the published width of a head, or a number in the .yaml or the metadata {FACTS_KEY}",
        remedy="Put the .yaml that belongs to the model beside it, under the same name.",
    )


def _prediction(plan: ModelPlan, params: _Yaml, clues: Clues) -> Prediction | None:
    if "v_pred" in clues.shapes:
        return "v"
    predicts_v = params.predicts_v()
    if predicts_v is not None:
        return "v" if predicts_v else "epsilon"
    stated = clues.metadata.get("modelspec.prediction_type", "").lower()
    if stated:
        return "v" if stated in ("v", "v_prediction") else "epsilon"
    return None if plan.family == "sd2" else "epsilon"
