"""What a file is when it is not the whole base model that it was taken for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lib_lyco.errors import ModelError
from lib_lyco.models.plan import GROUPS, UNET_ROOT, ModelPlan, Shapes
from lib_lyco.models.vae_layers import VAE_ROOT
from lib_lyco.naming.key import split_key
from lib_lyco.naming.layer import Family
from lib_lyco.naming.table import layer_table

_EXPECTED = "a whole SD1, SD2 or SDXL base model in the original (ldm, sgm) layout"
_LISTED = 8
_COMMON_PARTS = ("weight", "bias", "scale")

_OTHER_MODELS = (
    # (part of a key, what has it); the first that is found counts
    ("double_blocks.", "a Flux model"),
    ("single_transformer_blocks.", "a Flux model"),
    ("joint_blocks.", "a Stable Diffusion 3 model"),
    ("down_blocks.", "a model in the layout of diffusers"),
    ("control_model.", "a ControlNet"),
)
_REMEDIES = {
    "a network": "Choose a base model here; give the network in the prompt: <lora:name:1>.",
    "an autoencoder alone": "Choose the base model that the autoencoder belongs to.",
    "a model in the layout of diffusers": "Choose the single-file version of the model.",
}

_IGNORED_IN_COMPONENTS = (
    # buffers and heads that tools leave in files and that no forward pass reads
    ".position_ids",
    ".logit_scale",
    ".attn_mask",
    "cond_stage_model.model.text_projection",
    "cond_stage_model.transformer.text_projection.weight",
    "conditioner.embedders.0.transformer.text_projection.weight",
)
_IGNORED_ROOTS = (f"{VAE_ROOT}.loss.", f"{VAE_ROOT}.model_ema.")


def find_family(shapes: Shapes, path: Path) -> Family:
    """The family of a base model, by its text encoders.

    Raises:
        ModelError: It is not a whole base model of a family that we know.
    """
    keys = shapes.keys()
    families: tuple[Family, ...] = ("sdxl", "sd2", "sd1")
    for family in families:
        roots = layer_table(family).host_roots
        if all(_any_below(keys, root) for root in roots.values()):
            _demand_autoencoder(keys, path)
            return family
    raise _not_a_base_model(_what_it_is(shapes), path)


def demand_same_names(found: Iterable[str], wanted: set[str], path: Path, family: Family) -> None:
    """Compares a file's keys with the keys that its plan asks for.

    Keys outside the model's components (averaged weights, the training schedule) are none of ours.

    Raises:
        ModelError: A key is missing, or a component has one that nothing reads; both are listed.
    """
    keys = set(found)
    missing = wanted - keys
    roots = (*layer_table(family).host_roots.values(), VAE_ROOT)
    inside = {key for key in keys - wanted if key.startswith(tuple(f"{root}." for root in roots))}
    unexpected = {key for key in inside if not _is_ignored(key)} - _unread_resblock(wanted, inside, family)
    if missing or unexpected:
        raise ModelError(
            "The base model's tensors are not those of its architecture",
            where=str(path),
            got="; ".join(_listed("missing", missing) + _listed("unexpected", unexpected)),
            expected=_EXPECTED,
        )


def _demand_autoencoder(keys: Iterable[str], path: Path) -> None:
    if not _any_below(keys, VAE_ROOT):
        raise ModelError(
            "The base model has no autoencoder",
            where=str(path),
            expected=f"tensors below {VAE_ROOT}",
            remedy="Choose a version of the model with its autoencoder (VAE) inside.",
        )


def demand_buildable(plan: ModelPlan, path: Path) -> None:
    """Raises ModelError for a plan that neither library builds (cut-down and widened variants)."""
    unet = plan.unet
    widths = (*unet.channels, *plan.vae.channels)
    problem = None
    if any(width % GROUPS for width in widths):
        problem = f"block widths {widths}, not multiples of {GROUPS}"
    elif unet.depths[-1] and unet.depths[-1] != unet.mid_depth:
        problem = f"{unet.mid_depth} transformer blocks in the middle and {unet.depths[-1]} beside it"
    if problem:
        raise ModelError(
            "The base model has an architecture that is not known here",
            where=str(path),
            got=problem,
            expected=_EXPECTED,
        )


def _what_it_is(shapes: Shapes) -> str:
    for part, name in _OTHER_MODELS:
        if any(part in key for key in shapes):
            return name if not _is_network(shapes) else "a network"
    if _is_network(shapes):
        return "a network"
    if _any_below(shapes, UNET_ROOT):
        refiner = _any_below(shapes, "conditioner.embedders.0.model")
        return "the SDXL refiner" if refiner else "a denoiser without its text encoders"
    if any(key.startswith((f"{VAE_ROOT}.", "encoder.", "decoder.")) for key in shapes):
        return "an autoencoder alone"
    if not shapes:
        return "a file without tensors"
    return f"a file of {len(shapes)} tensors such as {', '.join(sorted(shapes)[:3])}"


def _is_network(shapes: Shapes) -> bool:
    """Whether a good share of the keys are parts that only networks have."""
    parts = [found.part for key in shapes if (found := split_key(key)) is not None]
    return sum(part not in _COMMON_PARTS for part in parts) > len(shapes) // 4


def _not_a_base_model(what: str, path: Path) -> ModelError:
    return ModelError(
        "The file is not a base model that can be used here",
        where=str(path),
        got=what,
        expected=_EXPECTED,
        remedy=_REMEDIES.get(what, "Choose another file."),
    )


def _any_below(keys: Iterable[str], root: str) -> bool:
    return any(key.startswith(f"{root}.") for key in keys)


def _is_ignored(key: str) -> bool:
    return key.endswith(_IGNORED_IN_COMPONENTS) or key.startswith(_IGNORED_ROOTS)


def _unread_resblock(wanted: set[str], inside: set[str], family: Family) -> set[str]:
    """SD2 reads the states before OpenCLIP's last resblock, which stands in the file all the same."""
    if family != "sd2":
        return set()
    blocks = f"{layer_table('sd2').host_root('te1')}.transformer.resblocks."
    num_read = len({key[len(blocks) :].split(".", 1)[0] for key in wanted if key.startswith(blocks)})
    return {key for key in inside if key.startswith(f"{blocks}{num_read}.")}


def _listed(title: str, keys: set[str]) -> list[str]:
    if not keys:
        return []
    rest = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return [f"{len(keys)} {title}: {', '.join(sorted(keys)[:_LISTED])}{rest}"]
