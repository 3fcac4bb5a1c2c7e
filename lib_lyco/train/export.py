"""A trained network as the tensors of a file, in kohya's keys, and the proof that they say the same."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lib_lyco.errors import TrainingError
from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.layer import Family
from lib_lyco.network.network import Network
from lib_lyco.train.layer import TrainableLayer
from lib_lyco.train.network import TrainableNetwork

_ROUNDING: Mapping[torch.dtype, float] = {
    # relative to the largest change: a product of up to three rounded factors, and slack
    torch.float32: 2.0**-18,
    torch.float16: 2.0**-7,
    torch.bfloat16: 2.0**-4,
}


def export_tensors(network: TrainableNetwork, family: Family, dtype: torch.dtype) -> dict[str, Tensor]:
    """Every tensor of the file by key, on the CPU, contiguous, in the network's order."""
    tensors: dict[str, Tensor] = {}
    for layer in network:
        stem = kohya_stem(layer.layer, family)
        for part, tensor in layer.parts().items():
            tensors[f"{stem}.{part}"] = tensor.to("cpu", dtype).contiguous()
    return tensors


def compare(trained: TrainableNetwork, reloaded: Network, dtype: torch.dtype) -> None:
    """Demands that a reloaded file changes every layer as training did.

    Args:
        trained: What was exported.
        reloaded: The file, read as a user's would be.
        dtype: Dtype of the file's tensors; decides how much rounding is allowed.

    Raises:
        TrainingError: A layer is missing, surplus, not understood, or changes its weight otherwise.
    """
    expected = {layer.layer for layer in trained}
    if reloaded.unknown or set(reloaded.adapters) != expected:
        odd = sorted(map(str, expected ^ set(reloaded.adapters))) + [
            entry.key for entry in reloaded.unknown
        ]
        raise _differs(f"{len(odd)} layers, the first is {odd[0]}", "missing or not understood")
    for layer in trained:
        _compare_layer(layer, reloaded, dtype)


@torch.no_grad()
def _compare_layer(layer: TrainableLayer, reloaded: Network, dtype: torch.dtype) -> None:
    adapter = reloaded.adapters[layer.layer]
    weight = layer.weight.detach().float().cpu()
    wanted = layer.delta().cpu()
    found = adapter.delta(weight)
    magnitude = wanted.abs().max() + (0.0 if adapter.additive else weight.abs().max())
    error = (found - wanted).abs().max()
    if not error <= _ROUNDING[dtype] * magnitude + torch.finfo(dtype).tiny:
        raise _differs(str(layer.layer), f"off by {float(error):.3g} of {float(magnitude):.3g}")
    shift, found_shift = layer.bias_delta(), adapter.bias_delta(None)
    if (shift is None) != (found_shift is None):
        raise _differs(str(layer.layer), "another bias")
    if shift is not None and found_shift is not None:
        error = (found_shift - shift.cpu()).abs().max()
        if not error <= _ROUNDING[dtype] * shift.abs().max() + torch.finfo(dtype).tiny:
            raise _differs(f"{layer.layer}, bias", f"off by {float(error):.3g}")


def _differs(where: str, got: str) -> TrainingError:
    return TrainingError(
        "The saved file does not do what was trained.",
        where=where,
        got=got,
        expected="the trained change of every layer",
        remedy="Save in another save_precision; if that does not help, this is a bug to report.",
    )
