"""Modules of lycoris-lora. Only this file imports it.

lycoris supplies parameters, initial values and the mathematics of each algorithm. Everything around
them is ours, because there it goes wrong: its forward computes (W + delta) - W, which rounds small
deltas away in half precision; its hooks and class attributes outlive a run (its networks, which set
them, are never made here); its dropout and its DyLoRA draw from a global generator anew in every
forward, which breaks gradient checkpointing; its T-LoRA's mask is one for the whole process.
"""

from __future__ import annotations

import gc
import importlib
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lib_lyco.errors import ConfigError, MissingPackageError
from lib_lyco.naming.layer import LayerName
from lib_lyco.train.layer import AlgoSettings


def make_module(name: str, layer: LayerName, base: nn.Module, settings: AlgoSettings, seed: int) -> Any:
    """A lycoris module for a layer, in float32 on the CPU; the layer itself is not changed.

    Args:
        name: Module and class below `lycoris.modules`.
        layer: Goes into the module's name.
        base: The layer.
        settings: The algorithm's options.
        seed: Decides the initial values.

    Raises:
        ConfigError: The algorithm cannot act on this layer at this rank.
        MissingPackageError: lycoris-lora is missing, or too new for this torch.
    """
    made = _lycoris_class(name)
    if settings.algo == "tlora":
        base = _as_linear(base)
    with _seeded(seed), _short_collections():
        try:
            module = made(str(layer), base, **_options(settings, layer))
        except (ValueError, TypeError) as error:  # BOFT: a width that no butterfly fits
            raise ConfigError(
                f"A layer cannot be trained by {settings.algo}.",
                where=str(layer),
                got=f"{error} (rank {settings.rank})",
                remedy="Change the rank, or leave the layer out by exclude_layers.",
            ) from error
    if settings.algo == "full":  # it copies the base weight, for a merge that is not used here
        module._org_weight, module.org_bias = [], None
    return module


def _as_linear(base: Any) -> nn.Module:
    """A layer's weight as a matrix, without a copy: lycoris' T-LoRA errs on convolutions."""
    matrix: Tensor = base.weight.detach().flatten(1)
    with torch.device("meta"):
        linear = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False)
    linear.weight = nn.Parameter(matrix, requires_grad=False)
    return linear


@contextmanager
def _short_collections() -> Generator[None]:
    """lycoris' T-LoRA collects the garbage of the whole process for each layer, half a second each;
    within this nothing is looked at that was there before."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    """lycoris draws from torch's global generator and tells stdout about its choices: within this,
    the one is seeded and given back as it was, the other silent."""
    logger = logging.getLogger("LyCORIS")
    disabled = logger.disabled
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        logger.disabled = True
        try:
            yield
        finally:
            logger.disabled = disabled


def _lycoris_class(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(f"lycoris.modules.{module}"), attribute)
    except (ImportError, AttributeError) as error:  # AttributeError: 4.1 on a torch before 2.4
        raise MissingPackageError(
            "The package lycoris-lora, which trains, cannot be imported.",
            where="lycoris",
            got=f"{error} (torch {torch.__version__})",
            expected="lycoris-lora; 4.0.0 for torch before 2.7",
            remedy="pip install lycoris-lora==4.0.0",
        ) from error


def _options(settings: AlgoSettings, layer: LayerName) -> dict[str, Any]:
    # IA3's paper scales an MLP between its layers: before the second one
    by_name = layer.path.endswith((".ff.net.2", ".mlp.fc2"))
    options: dict[str, Any] = {
        "bypass_mode": False,
        "lora_dim": settings.rank,
        "alpha": settings.alpha,
        "use_tucker": settings.tucker,
        "rs_lora": settings.rs_lora,
        "use_scalar": settings.use_scalar,
        "weight_decompose": settings.dora,
        "wd_on_out": settings.wd_on_output,
        "factor": settings.factor,
        "decompose_both": settings.decompose_both,
        "full_matrix": settings.full_matrix,
        "unbalanced_factorization": settings.unbalanced_factorization,
        "block_size": settings.block_size,
        "constraint": settings.constraint,
        "rescaled": settings.rescaled,
        "sig_type": settings.sig_type,
        "use_data_init": settings.use_data_init,
        "train_on_input": by_name if settings.train_on_input is None else settings.train_on_input,
    }
    # a norm's module takes the options of norms only
    return {} if settings.algo == "norm" else options
