"""What is left out between down and up: single values, and ranks of whole images."""

from __future__ import annotations

from torch import Tensor, nn

from lib_lyco.train.layer import TrainableLayer


def rank_mask(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor | None:
    """Factors on the r values of this pass; None where nothing is left out.

    sd-scripts, `networks/lora.py`: dropout, rank_dropout.
    """
    settings, draw = layer.settings, layer.draw
    if draw is None or not (settings.dropout or settings.rank_dropout):
        return None
    rank = settings.rank
    if isinstance(layer.target.module, nn.Conv2d):
        images, values = (len(x), rank, 1, 1), (len(x), rank, *y.shape[2:])
    else:
        images, values = (len(x), *(1,) * (x.dim() - 2), rank), (*x.shape[:-1], rank)
    whole = draw.mask("rank", images, settings.rank_dropout, x) if settings.rank_dropout else None
    if not settings.dropout:
        return whole
    single = draw.mask("values", values, settings.dropout, x)
    return single if whole is None else single * whole
