"""The stem under which kohya's sd-scripts write a layer: the one dialect we save in."""

from __future__ import annotations

from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.naming.prefixes import KOHYA_PREFIXES
from lib_lyco.naming.resolve import flatten
from lib_lyco.naming.table import LayerTable, layer_table


def kohya_stem(layer: LayerName, family: Family) -> str:
    """The layer's stem in a saved file, without the dot and the part.

    SD1 and SD2 keep diffusers' names in the UNet, SDXL has sgm's, SD3 SAI's, text encoders always
    have transformers' (sd-scripts, `networks/lora.py`, `networks/lora_sd3.py`). What SAI's layout
    only has in one piece or with its halves swapped keeps diffusers' name, as OneTrainer's files do.

    Raises:
        KeyError: The family has no such layer.
    """
    table = layer_table(family)
    prefix = KOHYA_PREFIXES[family][layer.component]
    return f"{prefix}_{flatten(_path(layer, table))}"


def _path(layer: LayerName, table: LayerTable) -> str:
    if layer in table.combined:
        return table.combined[layer].host_path
    place = table.host_place(layer)
    keeps_name = layer.component != "unet" or table.family in ("sd1", "sd2")
    if keeps_name or place.rows is not None or place.swapped_halves:
        return layer.path
    return place.path
