"""The blocks of a base model, as block weights in tags and reports count them.

UNets use the names of the block-weight extensions: `BASE` for the text encoders, `IN00`..`IN11`,
`MID`, `OUT00`..`OUT11` for `input_blocks`, `middle_block` and `output_blocks`; SDXL has nine of
each. What lies outside of the blocks counts to the end where it sits: the time and size
embeddings to `IN00`, the last norm and conv to the last `OUT`. SD3 has its joint blocks,
`JOINT00`..`JOINT23`, between `IN` and `OUT`.
"""

from __future__ import annotations

from functools import cache

from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.naming.table import layer_table

BASE = "BASE"
MID = "MID"
_NUM_SIDE_BLOCKS: dict[Family, int] = {"sd1": 12, "sd2": 12, "sdxl": 9}
_NUM_JOINT_BLOCKS = 24
_NUMBERED = {"input_blocks": "IN", "output_blocks": "OUT", "joint_blocks": "JOINT"}


@cache
def block_names(family: Family) -> tuple[str, ...]:
    """Every block of a family, from input to output."""
    if family == "sd3":
        return (BASE, "IN", *(f"JOINT{n:02}" for n in range(_NUM_JOINT_BLOCKS)), "OUT")
    count = _NUM_SIDE_BLOCKS[family]
    return (BASE, *(f"IN{n:02}" for n in range(count)), MID, *(f"OUT{n:02}" for n in range(count)))


@cache
def host_path(layer: LayerName, family: Family) -> str:
    """The module path of a layer in the WebUI's own model: `input_blocks.1.1.proj_in`.

    Raises:
        KeyError: The family has no such layer.
    """
    table = layer_table(family)
    combined = table.combined.get(layer)
    return combined.host_path if combined else table.host_place(layer).path


def block_of(layer: LayerName, family: Family) -> str:
    """The block a layer is in: one of `block_names(family)`.

    Raises:
        KeyError: The family has no such layer.
    """
    path = host_path(layer, family)
    if layer.component != "unet":
        return BASE
    head, _, rest = path.partition(".")
    number = rest.partition(".")[0]
    if head == "middle_block":
        return MID
    if head in _NUMBERED:
        return f"{_NUMBERED[head]}{int(number):02}"
    names = block_names(family)
    return names[-1] if head in ("out", "final_layer") else names[1]
