"""A base model in diffusers' layout: a folder for each part, with a config.json and the weights.

Only the parts that a run needs are read; nothing is downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from lib_lyco.errors import ModelError
from lib_lyco.files.access import reading
from lib_lyco.files.header import read_header
from lib_lyco.files.pickled import is_pickled
from lib_lyco.files.tensors import read_tensors
from lib_lyco.models.base import Prediction
from lib_lyco.models.diagnosis import demand_buildable
from lib_lyco.models.plan import ModelPlan, is_open_clip
from lib_lyco.models.settings import Settings
from lib_lyco.models.sources import Part, Source, part_sources
from lib_lyco.models.vae_layers import VaePlan
from lib_lyco.naming.clip import ClipPlan
from lib_lyco.naming.layer import Component, Family
from lib_lyco.naming.place import HostPlace
from lib_lyco.naming.unet import UNetPlan

INDEX = "model_index.json"
"""The file by which such a folder is known."""

_FOLDERS: Mapping[Part, str] = MappingProxyType(
    {"unet": "unet", "vae": "vae", "te1": "text_encoder", "te2": "text_encoder_2"}
)
_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_HEAD_BYTES = 9
_WIDENING = 4
"""How much wider the hidden layer of CLIP's MLP is."""
_PREDICTIONS: Mapping[str | None, Prediction | None] = MappingProxyType(
    {"epsilon": "epsilon", "v_prediction": "v", None: None}
)
_OLD_ATTENTION = (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn"))
"""The autoencoder's attention in diffusers' names and in those before its 0.15."""
_TEXT_ROOT = "text_model."
"""In front of the names of text encoders, but in files of transformers from 5 on."""
_UNREAD = ("position_ids", "text_projection.weight", "logit_scale")
"""Ends of keys that files may have beyond what a part needs."""


@dataclass(frozen=True)
class FolderWeights:
    """The weights of a folder, part by part."""

    path: Path

    def read(self, part: Part, keys: Iterable[str]) -> dict[str, Tensor]:
        """The tensors of these keys.

        Raises:
            FileError: A file cannot be read.
            UnsafeFileError: It asks for code to be run.
        """
        wanted = set(keys)
        found: dict[str, Tensor] = {}
        for file in _part_files(self.path / _FOLDERS[part]):
            found |= read_tensors(file, wanted & _keys(file))
        return found


def read_folder(
    path: Path, prediction: Prediction | None = None
) -> tuple[FolderWeights, ModelPlan, Settings, dict[Part, dict[str, Source]]]:
    """What a checkpoint is made of, by the folder's configurations and the names of its tensors.

    Raises:
        FileError: A file cannot be read or is damaged.
        ModelError: It is no SD1, SD2 or SDXL base model in diffusers' layout, or not a whole one.
    """
    if not (path / INDEX).is_file() or not (path / "unet").is_dir():
        raise ModelError(
            "The folder is not a base model that can be used here",
            where=str(path),
            got="no denoiser of SD1, SD2 or SDXL" if (path / INDEX).is_file() else "other files",
            expected=f"{INDEX} and the folders unet, vae and text_encoder beside it",
            remedy="Choose the folder that has them, or a single .safetensors or .ckpt file.",
        )
    components: list[Component] = ["te1", "te2"] if (path / _FOLDERS["te2"]).is_dir() else ["te1"]
    texts: dict[Component, Mapping[str, Any]] = {
        component: _config(path / _FOLDERS[component]) for component in components
    }
    unet, vae = _config(path / "unet"), _config(path / "vae")
    try:
        plan = folder_plan(unet, vae, texts)
        settings = _settings(path, plan, (unet, vae), texts, prediction)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelError(
            "A configuration of the base model cannot be understood",
            where=str(path),
            got=f"{type(error).__name__}: {error}",
            expected="those of SD1, SD2 and SDXL",
        ) from error
    demand_buildable(plan, path)
    sources: dict[Part, dict[str, Source]] = {
        part: _sources(path, part, found) for part, found in part_sources(plan).items()
    }
    return FolderWeights(path), plan, settings, sources


def folder_plan(
    unet: Mapping[str, Any], vae: Mapping[str, Any], texts: Mapping[Component, Mapping[str, Any]]
) -> ModelPlan:
    """The plan that the parts' configurations tell.

    Raises:
        KeyError, TypeError, ValueError, IndexError: They are not those of a model that is known here.
    """
    family = _family(texts)
    encoders: dict[Component, ClipPlan] = {
        component: _text(family, component, config) for component, config in texts.items()
    }
    return ModelPlan(family, _unet(unet), encoders, _vae(vae))


def _config(folder: Path) -> Mapping[str, Any]:
    path = folder / "config.json"
    with reading(path) as file:
        content = file.read()
    try:
        config: Any = json.loads(content)
    except ValueError as error:
        raise ModelError("A configuration cannot be read", where=str(path), got=str(error)) from error
    return config if isinstance(config, dict) else {}


def _family(texts: Mapping[Component, Mapping[str, Any]]) -> Family:
    if "te2" in texts:
        return "sdxl"
    return "sd1" if texts["te1"].get("hidden_act", "quick_gelu") == "quick_gelu" else "sd2"


def _unet(config: Mapping[str, Any]) -> UNetPlan:
    for name, known in (
        ("layers_per_block", (2,)),
        ("addition_embed_type", (None, "text_time")),
        ("class_embed_type", (None,)),
        ("mid_block_type", ("UNetMidBlock2DCrossAttn",)),
    ):
        if config.get(name, known[0]) not in known:
            raise ValueError(f"unet has {name} {config[name]}")
    kinds: Sequence[str] = config["down_block_types"]
    if set(kinds) - {"CrossAttnDownBlock2D", "DownBlock2D"}:
        raise ValueError(f"unet has blocks {kinds}")
    depths = _each(config.get("transformer_layers_per_block", 1), len(kinds))
    return UNetPlan(
        channels=tuple(config["block_out_channels"]),
        depths=tuple(
            depth if kind.startswith("Cross") else 0 for kind, depth in zip(kinds, depths, strict=True)
        ),
        mid_depth=depths[-1],
        context=config["cross_attention_dim"],
        linear_projection=bool(config.get("use_linear_projection", False)),
        vector=config.get("projection_class_embeddings_input_dim") or 0,
        in_channels=config.get("in_channels", 4),
        out_channels=config.get("out_channels", 4),
    )


def _text(family: Family, component: Component, config: Mapping[str, Any]) -> ClipPlan:
    width: int = config["hidden_size"]
    if config.get("intermediate_size", _WIDENING * width) != _WIDENING * width:
        raise ValueError(f"{_FOLDERS[component]} has intermediate_size {config['intermediate_size']}")
    projection = family == "sdxl" and is_open_clip(family, component)
    return ClipPlan(config["num_hidden_layers"], width, projection=projection)


def _vae(config: Mapping[str, Any]) -> VaePlan:
    return VaePlan(
        channels=tuple(config["block_out_channels"]),
        layers_per_block=config.get("layers_per_block", 1),
        latent_channels=config.get("latent_channels", 4),
    )


def _settings(
    path: Path,
    plan: ModelPlan,
    configs: tuple[Mapping[str, Any], Mapping[str, Any]],
    texts: Mapping[Component, Mapping[str, Any]],
    prediction: Prediction | None,
) -> Settings:
    unet, vae = configs
    place = path / "scheduler" / "scheduler_config.json"
    schedule: Mapping[str, Any] = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    if schedule.get("beta_schedule", "scaled_linear") != "scaled_linear":
        raise ValueError(f"scheduler has beta_schedule {schedule['beta_schedule']}")
    stated = _PREDICTIONS[schedule.get("prediction_type")] or (None if plan.family == "sd2" else "epsilon")
    # diffusers calls the number of heads `attention_head_dim` (its issue 2011)
    heads = unet.get("num_attention_heads") or unet["attention_head_dim"]
    return Settings(
        unet_heads=tuple(_each(heads, len(plan.unet.channels))),
        text_heads={component: config["num_attention_heads"] for component, config in texts.items()},
        prediction=prediction or stated,
        zero_terminal_snr=bool(schedule.get("rescale_betas_zero_snr", False)),
        latent_scale=vae.get("scaling_factor", 0.18215),
        beta_range=(schedule.get("beta_start", 0.00085), schedule.get("beta_end", 0.012)),
        num_timesteps=schedule.get("num_train_timesteps", 1000),
    )


def _each(value: int | Sequence[int], count: int) -> list[int]:
    """A number for each level, where one may stand for all."""
    return [value] * count if isinstance(value, int) else list(value)


def _sources(path: Path, part: Part, found: Mapping[str, Source]) -> dict[str, Source]:
    """Every parameter of a part, by its own name: the folder's files are in the module's names.

    Raises:
        ModelError: Tensors are missing, or there are some that nothing reads.
    """
    folder = path / _FOLDERS[part]
    files = _part_files(folder)
    if not files:
        raise ModelError(
            "A part of the base model has no weights",
            where=str(folder),
            expected=f"{_STEMS[1]}.safetensors or {_STEMS[0]}.safetensors",
        )
    there = {key for file in files for key in _keys(file)}
    sources = {
        name: Source(key := _spelled(name, there), HostPlace(key.rpartition(".")[0]), source.shape)
        for name, source in found.items()
    }
    wanted = {source.key for source in sources.values()}
    missing = sorted(wanted - there)
    unread = sorted(key for key in there - wanted if not key.endswith(_UNREAD))
    if missing or unread:
        raise ModelError(
            "The base model's tensors are not those of its architecture",
            where=str(folder),
            got=f"{len(missing)} missing, {len(unread)} unexpected: {', '.join((missing + unread)[:4])} …",
            expected="the tensors that its config.json promises",
        )
    return sources


def _spelled(name: str, there: set[str]) -> str:
    """A parameter's name as the file has it."""
    others = [name.replace(f".{new}.", f".{old}.") for new, old in _OLD_ATTENTION]
    spellings = [name, name.removeprefix(_TEXT_ROOT), *others]
    return next((one for one in spellings if one in there), name)


def _part_files(folder: Path) -> list[Path]:
    """The files of a part's weights: in full precision where there are several kinds, else in half; in
    pieces where an index says so; a pickled one if there is no other."""
    for stem in _STEMS:
        whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
        if whole.is_file():
            return [whole]
        if index.is_file():
            try:
                pieces: Mapping[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            except (OSError, ValueError, KeyError) as error:
                raise ModelError("An index cannot be read", where=str(index), got=str(error)) from error
            return sorted({folder / Path(piece).name for piece in pieces.values()})
        half, pickled = folder / f"{stem}.fp16.safetensors", folder / f"{stem}.bin"
        for file in (half, pickled):
            if file.is_file():
                return [file]
    return []


def _keys(file: Path) -> set[str]:
    with reading(file) as opened:
        pickled = is_pickled(opened.read(_HEAD_BYTES))
    return set(read_tensors(file) if pickled else read_header(file).tensors)
