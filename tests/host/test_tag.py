"""What a tag can say, and what it says when it is wrong."""

from __future__ import annotations

import pytest

from tests.host.driver import Host, Picture
from tests.host.networks import lora, merged

PROMPT = "a red circle on a blue ground"


def draw(host: Host, tags: str, **fields: object) -> Picture:
    return host.txt2img(f"{PROMPT} {tags}", **fields)


def equal(one: Picture, other: Picture) -> bool:
    """Within one rounding of a pixel: the same weights were summed in another order."""
    return one.distance(other) <= 1


@pytest.mark.parametrize(
    ("tags", "parts"),
    [
        ("<lora:alpha>", [(1, 1.0, 1.0)]),
        ("<lora:alpha:0.5>", [(1, 0.5, 0.5)]),
        ("<lora:alpha:0.5:1>", [(1, 0.5, 1.0)]),
        ("<lora:alpha:te=0:unet=-0.7>", [(1, 0.0, -0.7)]),
        ("<lora:alpha:0.8><lyco:beta:0.4>", [(1, 0.8, 0.8), (2, 0.4, 0.4)]),
        ("<lora:alpha:0.5><lora:alpha:0.3>", [(1, 0.8, 0.8)]),
        ("<lora:one/twin>", [(5, 1.0, 1.0)]),
        ("<lora:two/twin>", [(6, 1.0, 1.0)]),
        ("<lora:gamma>", [(7, 1.0, 1.0)]),
    ],
)
def test_a_tag_draws_what_a_checkpoint_with_the_network_inside_draws(
    host: Host, tags: str, parts: list[tuple[int, float, float]]
) -> None:
    tagged, plain = draw(host, tags), draw(host, "")
    host.write_checkpoint("merged", merged(*((lora(seed), te, unet) for seed, te, unet in parts)))
    host.use("merged")
    assert equal(tagged, draw(host, ""))
    assert tagged.distance(plain) > 10
    assert tagged.comments == ""
    host.use("lyco-embedded")
    (host.checkpoints / "merged.safetensors").unlink()
