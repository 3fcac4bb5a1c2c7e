"""The stem under which kohya's sd-scripts write a layer: the one dialect we save in."""

from __future__ import annotations

from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.naming.prefixes import KOHYA_PREFIXES
from lib_lyco.naming.resolve import flatten
from lib_lyco.naming.table import layer_table


def kohya_stem(layer: LayerName, family: Family) -> str:
    """The layer's stem in a saved file, without the dot and the part.

    SD1 and SD2 keep diffusers' names in the UNet, SDXL has sgm's, text encoders always have
    transformers' (sd-scripts, `networks/lora.py`).

    Raises:
        KeyError: The family has no such layer.
    """
    table = layer_table(family)
    place = table.host_place(layer)
    path = place.path if layer.component == "unet" and family == "sdxl" else layer.path
    return f"{KOHYA_PREFIXES[family][layer.component]}_{flatten(path)}"
