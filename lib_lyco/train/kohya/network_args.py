"""`network_module` and `network_args`: the algorithm and its settings, under every name they have had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from lib_lyco.errors import ConfigError
from lib_lyco.train.kohya.imported import Draft
from lib_lyco.train.options.network import USED_BY
from lib_lyco.train.options.optimisation import SHRINKABLE

_DEFAULT_RANK, _LARGEST_RANK = 4, 1024
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False}

_MODULES: Mapping[str, str] = {
    "networks.lora": "lora",
    "networks.dylora": "dylora",
    "networks.loha": "loha",
    "networks.lokr": "lokr",
    "locon.locon_kohya": "locon",
    "lycoris.kohya": "lycoris",
    "lycoris.locon_kohya": "locon",
}
"""Module -> algorithm; `lycoris` takes it from `algo`."""

_ALGOS: Mapping[str, str] = {
    "lora": "locon",
    "locon": "locon",
    "full": "full",
    **{name: name for name in ("loha", "lokr", "ia3", "dylora", "tlora", "glora", "diag-oft", "boft")},
}
"""LyCORIS' `algo` -> ours; its lora is a LoCon whose conv_dim is network_dim unless given."""


def _boolean(text: str) -> bool:
    """LyCORIS reads every text but `false` as true, `0` and `no` too; here words mean what they say."""
    word = text.strip().lower()
    if word not in _BOOLEANS:
        raise ValueError(f"{text!r} is neither true nor false")
    return _BOOLEANS[word]


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(one) for one in text.split(",") if one.strip())


def _whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(float(one)) for one in text.split(",") if one.strip())


def _rank(text: str) -> int:
    return int(float(text))


_Convert = Callable[[str], Any]

_COMMON: Mapping[str, tuple[str, _Convert]] = {
    "conv_dim": ("conv_rank", _rank),
    "conv_alpha": ("conv_alpha", float),
    "dropout": ("dropout", float),
    "rank_dropout": ("rank_dropout", float),
    "module_dropout": ("module_dropout", float),
    "loraplus_lr_ratio": ("loraplus_lr_ratio", float),
    "loraplus_unet_lr_ratio": ("loraplus_unet_lr_ratio", float),
    "loraplus_text_encoder_lr_ratio": ("loraplus_text_encoder_lr_ratio", float),
}
_KOHYA: Mapping[str, tuple[str, _Convert]] = {
    **_COMMON,
    "block_dims": ("block_dims", _whole_numbers),
    "block_alphas": ("block_alphas", _numbers),
    "conv_block_dims": ("conv_block_dims", _whole_numbers),
    "conv_block_alphas": ("conv_block_alphas", _numbers),
    "down_lr_weight": ("down_lr_weight", str),
    "mid_lr_weight": ("mid_lr_weight", str),
    "up_lr_weight": ("up_lr_weight", str),
    "block_lr_zero_threshold": ("blocks_lr_zero_threshold", float),
    "unit": ("block_size", int),
    "factor": ("factor", int),
    "use_tucker": ("tucker", _boolean),
}
_LYCORIS: Mapping[str, tuple[str, _Convert]] = {
    **_COMMON,
    **dict.fromkeys(("use_tucker", "use_cp", "use_conv_cp"), ("tucker", _boolean)),
    "preset": ("preset", str),
    "factor": ("factor", int),
    "decompose_both": ("decompose_both", _boolean),
    "full_matrix": ("full_matrix", _boolean),
    "unbalanced_factorization": ("unbalanced_factorization", _boolean),
    "block_size": ("block_size", int),
    **dict.fromkeys(("constraint", "constrain"), ("constraint", float)),
    "rescaled": ("rescaled", _boolean),
    "min_rank": ("min_rank", int),
    "alpha_rank_scale": ("rank_exponent", float),
    "sig_type": ("sig_type", str),
    "use_data_init": ("use_data_init", _boolean),
    "use_scalar": ("use_scalar", _boolean),
    "dora_wd": ("dora", _boolean),
    "wd_on_output": ("wd_on_output", _boolean),
    "train_norm": ("train_norm", _boolean),
    "rs_lora": ("rs_lora", _boolean),
}
_IGNORED = {
    "rank_dropout_scale": "LyCORIS never receives it either.",
    "train_on_input": "IA3 takes a layer's input where its paper does.",
    "bypass_mode": "the way a layer is computed does not change the result.",
    "algo": "",
    "disable_conv_cp": "",
}


def network_options(flags: Mapping[str, Any], draft: Draft) -> None:
    """Adds the options of the network.

    Raises:
        ConfigError: The module or an argument is unknown, or an argument's value has the wrong type.
    """
    given = _pairs(flags.get("network_args", ()))
    module = str(flags.get("network_module", "networks.lora"))
    if module not in _MODULES:
        raise ConfigError(
            "This network_module is not known.",
            where="network_module",
            got=module,
            expected=", ".join(_MODULES),
        )
    is_lycoris = _MODULES[module] == "lycoris"
    known = _LYCORIS if is_lycoris else _KOHYA
    _take(given, known, draft)
    _sizes(flags, draft, is_lycoris)
    algo = _algo(_MODULES[module], given, draft)
    draft.options["algo"] = algo
    if is_lycoris:
        _lycoris_ways(algo, given, draft)
    elif algo == "dylora":
        draft.options.setdefault("block_size", 1)
    if algo == "lokr":
        _whole_factors(draft)
    _cut_block_weights(draft)
    _drop_without_effect(algo, draft)
    _files(flags, draft)


def _pairs(words: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, sign, value = str(word).partition("=")
        if not sign:
            raise ConfigError("A network argument has no value.", where="network_args", got=word)
        found[name.strip()] = value.strip().strip("\"'")
    return found


def _take(given: Mapping[str, str], known: Mapping[str, tuple[str, _Convert]], draft: Draft) -> None:
    for name, text in given.items():
        if name in _IGNORED:
            if _IGNORED[name] and text.lower() not in ("false", "0", ""):
                draft.note(name, "obsolete", _IGNORED[name])
            continue
        if name not in known:
            near = get_close_matches(name, (*known, *_IGNORED), n=1)
            raise ConfigError(
                "A network argument is unknown.",
                where=f"network_args: {name}",
                got=f"{name}={text}",
                expected=f"did you mean {near[0]}?" if near else ", ".join(known),
            )
        option, convert = known[name]
        if text in ("", "None"):
            continue
        try:
            draft.options[option] = convert(text)
        except ValueError as error:
            raise ConfigError(
                "A network argument has a value that cannot work.",
                where=f"network_args: {name}",
                got=str(error),
            ) from error


def _sizes(flags: Mapping[str, Any], draft: Draft, is_lycoris: bool) -> None:
    rank = flags.get("network_dim")
    if rank is None:
        rank = _DEFAULT_RANK
        draft.note("network_dim", "default", f"not given; sd-scripts' default {rank} is written as rank.")
    alpha = float(flags.get("network_alpha", 1.0))
    draft.options["rank"], draft.options["alpha"] = int(rank), alpha
    if is_lycoris:
        draft.options.setdefault("conv_rank", int(rank))
        draft.options.setdefault("conv_alpha", alpha)
    elif "conv_rank" in draft.options:
        draft.options.setdefault("conv_alpha", 1.0)
    if alpha > int(rank) > 0:
        draft.note(
            "network_alpha",
            "attention",
            f"larger than the rank: changes are multiplied by {alpha / int(rank):g}.",
        )


def _algo(kind: str, given: Mapping[str, str], draft: Draft) -> str:
    conv = bool(draft.options.get("conv_rank") or draft.options.get("conv_block_dims"))
    if kind != "lycoris":
        return "locon" if kind == "lora" and conv else kind
    name = given.get("algo", "lora").lower()
    if name not in _ALGOS:
        raise ConfigError(
            "This algorithm is not known.",
            where="network_args: algo",
            got=name,
            expected=", ".join(_ALGOS),
        )
    return _ALGOS[name]


def _lycoris_ways(algo: str, given: Mapping[str, str], draft: Draft) -> None:
    if algo != "ia3":
        draft.options.setdefault("preset", "full")
    elif draft.options.get("preset") == "ia3":
        del draft.options["preset"]
    if "disable_conv_cp" in given:
        draft.options.pop("tucker", None)
        draft.note(
            "disable_conv_cp",
            "obsolete",
            "3x3 convolutions are not split further unless tucker says so. (Today's LyCORIS takes this "
            "argument for its opposite.)",
        )
    if algo == "dylora":
        draft.options.setdefault("block_size", 4)


def _whole_factors(draft: Draft) -> None:
    """To LyCORIS half a factor's size or more means that nothing is split; people write 100000."""
    for option in ("rank", "conv_rank"):
        if draft.options.get(option, 0) > _LARGEST_RANK:
            draft.options[option] = _LARGEST_RANK
            if not draft.options.get("full_matrix"):
                draft.options["full_matrix"] = True
                draft.note(
                    "network_dim", "changed", "full_matrix is its meaning: no factor is split further."
                )


def _cut_block_weights(draft: Draft) -> None:
    """sd-scripts cuts lists that are too long."""
    for option, most in (("down_lr_weight", 12), ("mid_lr_weight", 3), ("up_lr_weight", 12)):
        weights = str(draft.options.get(option, "")).split(",")
        if len(weights) > most:
            draft.options[option] = ",".join(weights[:most])
            draft.note(option, "changed", f"the first {most} of {len(weights)} weights, as in sd-scripts.")


def _drop_without_effect(algo: str, draft: Draft) -> None:
    """The GUI writes every argument it has; those that the algorithm does not know are left out."""
    for option, algos in USED_BY.items():
        if option in draft.options and algo not in algos:
            value = draft.options.pop(option)
            if value:
                draft.note(option, "attention", f"left out: it has no effect on {algo}.")
    if algo not in SHRINKABLE and draft.options.pop("scale_weight_norms", 0):
        draft.note("scale_weight_norms", "attention", f"left out: {algo} is no product of factors.")
    if algo in ("ia3", "full"):
        for option in ("conv_rank", "conv_alpha"):
            draft.options.pop(option, None)


def _files(flags: Mapping[str, Any], draft: Draft) -> None:
    if "network_weights" in flags:
        draft.options["network_weights"] = flags["network_weights"]
    if "base_weights" in flags:
        draft.options["base_weights"] = tuple(flags["base_weights"])
    if "base_weights_multiplier" in flags:
        draft.options["base_weights_multiplier"] = tuple(flags["base_weights_multiplier"])
