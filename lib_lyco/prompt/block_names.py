"""The names of blocks as people write them, their order, and words that stand for several.

| written | is |
| --- | --- |
| `OUT03` | one block |
| `OUT` | every block that begins so |
| `IN05-OUT05` | these two and all between, in the order of the model |
| `BASE IN01-IN04` | several, separated by spaces |
| `NOT MID OUT` | every block but these |
| nothing | every block |

Names, lists and `NOT` are those of sd-webui-lora-block-weight (hako-mikan: README, `BLOCKID12` to
`BLOCKIDFLUX`, `weightsdealer` and `hyphener`). `M00` is its other word for `MID`; `encoder`, which it
finds in the layer names of some text encoders, means `BASE`. Blocks of SD3 are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lib_lyco.errors import PromptError
from lib_lyco.prompt.problems import did_you_mean

BASE = "BASE"
MID = "MID"
_NOT = "NOT"
_ALIASES = MappingProxyType({"M00": MID, "encoder": BASE})


def _numbered(word: str, *numbers: int) -> tuple[str, ...]:
    return tuple(f"{word}{number:02}" for number in numbers)


UNET = (BASE, *_numbered("IN", *range(12)), MID, *_numbered("OUT", *range(12)))
MMDIT = (BASE, "IN", *_numbered("JOINT", *range(24)), "OUT")
FLUX = ("CLIP", "T5", "IN", *_numbered("D", *range(19)), *_numbered("S", *range(38)), "OUT")

_ORDERS = (UNET, MMDIT, FLUX)
NAMES = tuple(dict.fromkeys(name for order in _ORDERS for name in order))
"""Every block of every family."""

LISTS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        len(names): names
        for names in (
            (BASE, *_numbered("IN", 4, 5, 7, 8), MID, *_numbered("OUT", *range(6))),
            (BASE, *_numbered("IN", 1, 2, 4, 5, 7, 8), MID, *_numbered("OUT", *range(3, 12))),
            (BASE, *_numbered("IN", *range(9)), MID, *_numbered("OUT", *range(9))),
            UNET,
            FLUX,
        )
    }
)
"""What the values of a list are about, by their number: a LoRA for SDXL (12) or SD1 (17), all blocks of
SDXL (20), of SD1 and SD2 (26), and of Flux (61). Blocks that a list leaves out have 0."""

LENGTHS = f"{', '.join(str(length) for length in sorted(LISTS)[:-1])} or {max(LISTS)}"


def read_blocks(text: str) -> frozenset[str]:
    """The blocks that a text names.

    Raises:
        PromptError: A word is no block; `where` is left to the caller, who knows the tag.
    """
    words = text.split()
    negated = words[:1] == [_NOT]
    named = words[1:] if negated else words
    found = frozenset(block for word in named for block in _blocks_of(word)) if named else frozenset(NAMES)
    return frozenset(NAMES) - found if negated and named else found


def _blocks_of(word: str) -> set[str]:
    ends = [_ALIASES.get(end, end) for end in word.split("-")]
    found: set[str] = set()
    for order in _ORDERS:
        places = [[place for place, name in enumerate(order) if _begins(name, end)] for end in ends]
        if all(places) and len(places) <= 2:
            numbers = [number for end in places for number in end]
            found.update(order[min(numbers) : max(numbers) + 1])
    if not found:
        wrong = next((end for end in ends if not any(_begins(name, end) for name in NAMES)), word)
        raise PromptError(
            f"{wrong!r} is not a block",
            got=repr(word),
            expected="blocks such as BASE, IN04, MID, OUT11, JOINT05, or from one to another: IN05-OUT05",
            remedy=did_you_mean(wrong, (*NAMES, "IN", "OUT", "JOINT")),
        )
    return found


def _begins(name: str, word: str) -> bool:
    """Whether a word means a block: its whole name, or the name without its number."""
    return word in (name, name.rstrip("0123456789"))
