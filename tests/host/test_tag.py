"""What a tag can say, and what it says when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.host.driver import Host, Picture
from tests.host.networks import lora, merged, sshs_hash

PROMPT = "a red circle on a blue ground"


def draw(host: Host, tags: str, **fields: object) -> Picture:
    return host.txt2img(f"{PROMPT} {tags}", **fields)


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
    assert tagged.like(draw(host, ""))
    assert tagged.distance(plain) > 10
    assert tagged.comments == ""
    host.use("lyco-embedded")
    (host.checkpoints / "merged.safetensors").unlink()


def test_of_equal_names_the_builtins_is_drawn_and_told(host: Host) -> None:
    picture = draw(host, "<lora:twin:0.8>")
    assert picture.distance(draw(host, "<lora:two/twin:0.8>")) == 0
    assert "2 networks have this name; taken is two/twin, not one/twin" in picture.comments
    digits = sshs_hash(host.networks / "two" / "twin.safetensors")[:12]
    assert f'Lora hashes: "twin: {digits}"' in picture.infotext


@pytest.mark.parametrize(
    "tag",
    [
        "<lyco:alpha:0.5>",
        "<lora:alpha:0.5:0.5>",
        "<lora:alpha:te=0.5>",
        "<lora:alpha:unet=0.5:te=0.5>",
        "<lora:alpha:1:unet=0.5:te=0.5>",
        "<lora:alpha:0.5:0.5:4>",
        "<lora:alpha:0.5@0>",
        "<lora:alpha:0.5:lbw=ALL>",
        "<lora:alpha:0.5:start=0>",
    ],
)
def test_other_ways_of_saying_the_same(host: Host, tag: str) -> None:
    assert draw(host, tag).distance(draw(host, "<lora:alpha:0.5>")) == 0


def test_a_hash_names_a_file(host: Host) -> None:
    draw(host, "<lora:alpha>")  # computes it, as with the builtin
    for digits in (8, 12, 64):
        name = sshs_hash(host.networks / "alpha.safetensors")[:digits]
        assert draw(host, f"<lora:{name}>").distance(draw(host, "<lora:alpha>")) == 0


def test_dyn_uses_the_first_ranks(host: Host) -> None:
    first = {
        key: value[:2] if "lora_down" in key else value[:, :2] if "lora_up" in key else value / 2
        for key, value in lora(1).items()
    }
    host.write("first-ranks", first)
    assert draw(host, "<lora:alpha:1:1:2>").like(draw(host, "<lora:first-ranks>"))
    assert draw(host, "<lora:alpha:dyn=2>").distance(draw(host, "<lora:alpha:1:1:2>")) == 0


BASE_ONLY, MID_ONLY, NOTHING = "lora_te_", "lora_unet_mid_block", "-"


@pytest.mark.parametrize(
    ("weights", "layers"),
    [
        ("1,0,0,0,0,0,0,0,0,0,0,0", BASE_ONLY),
        ("0,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0", MID_ONLY),
        ("0,0,0,0,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0", MID_ONLY),
        ("0,0,0,0,0,0,0,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,0,0", MID_ONLY),
        ("1" + ",0" * 60, NOTHING),
        ("MID", MID_ONLY),
        ("BASE", BASE_ONLY),
        ("IN08-MID", ("lora_unet_down_blocks_2_attentions_1", MID_ONLY)),
        ("NOT BASE", "lora_unet_"),
        ("OUTALL", ("lora_te_", "lora_unet_up_blocks")),
        ("NONE", NOTHING),
    ],
)
def test_block_weights_leave_the_layers_of_their_blocks(
    host: Host, weights: str, layers: str | tuple[str, ...]
) -> None:
    host.write("some-layers", {key: value for key, value in lora(1).items() if key.startswith(layers)})
    wanted = draw(host, "" if layers == NOTHING else "<lora:some-layers>")
    assert draw(host, f"<lora:alpha:1:lbw={weights}>").like(wanted)


def test_a_block_weight_multiplies(host: Host) -> None:
    half = draw(host, "<lora:alpha:1:lbw=ALL0.5>")
    assert half.distance(draw(host, "<lora:alpha:0.5>")) == 0


def test_presets_of_blocks_and_elements_from_a_file(host: Host, tmp_path: Path) -> None:
    presets = tmp_path / "presets.txt"
    presets.write_text("MINE:MID,BASE\n\nNOATTN:BASE:attn:0\n".replace(",", " "), encoding="utf-8")
    host.ask("set_text", key="lyco_block_presets", value=str(presets))
    mine, without = draw(host, "<lora:alpha:1:lbw=MINE>"), draw(host, "<lora:words:1:lbwe=NOATTN>")
    host.ask("set_text", key="lyco_block_presets", value="")
    middle = {k: v for k, v in lora(1).items() if k.startswith((BASE_ONLY, MID_ONLY))}
    host.write("middle", middle)
    host.write("only-mlp", {key: value for key, value in lora(3, "lora_te_").items() if "mlp" in key})
    assert mine.like(draw(host, "<lora:middle>"))
    assert without.like(draw(host, "<lora:only-mlp>"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"FACE:1,0\nMINE:MID\n", "line 1: FACE:1,0"),
        (b"\xff\xfe", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_broken_file_of_presets_is_told(
    host: Host, tmp_path: Path, content: bytes | None, told: str
) -> None:
    presets = tmp_path / "presets.txt"
    if content is not None:
        presets.write_bytes(content)
    host.ask("set_text", key="lyco_block_presets", value=str(presets))
    name = "MINE" if content is not None and b"MINE" in content else "MID"
    picture, plain = draw(host, f"<lora:alpha:1:lbw={name}>"), draw(host, "<lora:alpha>")
    host.ask("set_text", key="lyco_block_presets", value="")
    assert "presets.txt" in picture.comments and told in picture.comments
    assert plain.comments == ""
    assert picture.distance(draw(host, "<lora:alpha:1:lbw=MID>")) == 0


def test_a_tag_in_the_negative_prompt_is_told_to_be_text(host: Host) -> None:
    picture = draw(host, "<lora:alpha>", negative_prompt="red <lora:beta:0.5>")
    told = "<lora:beta:0.5> in the negative prompt is no tag, only text: put it into the prompt"
    assert picture.comments.splitlines() == [told]


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("<lora:alfa>", "Did you mean alpha"),
        ("<lora:beta:1:unte=0.5>", "Did you mean unet"),
        ("<lora:beta:1:lbw=MIDDD>", "Did you mean MIDD"),
        ("<lora:beta:0,8>", "0.8"),
        ("<lora:beta:1:lbw=1,1,1>", "got 3"),
        ("<lora:beta:high>", "high"),
        ("<lora:beta:two:0.8>", "A name with a colon ('beta:two') cannot stand in a tag: write its hash"),
    ],
)
def test_a_mistake_is_quoted_and_the_other_tags_work(host: Host, tag: str, words: str) -> None:
    picture = draw(host, f"{tag} <lora:alpha>")
    assert tag in picture.comments
    assert words in picture.comments
    assert picture.distance(draw(host, "<lora:alpha>")) == 0


def test_an_embedding_among_the_networks_is_told_to_be_one(host: Host) -> None:
    host.write("word", {"emb_params": torch.ones(2, 32)})
    picture = draw(host, "<lora:word> <lora:alpha>")
    assert "<lora:word>" in picture.comments
    assert "textual-inversion embedding, no network. Put it into the WebUI's embeddings" in picture.comments
    assert picture.distance(draw(host, "<lora:alpha>")) == 0


def test_a_network_of_another_family_is_explained(host: Host) -> None:
    """A LoRA on SDXL's layers: those in its tenth transformer have no like in SD1."""
    stem = "lora_unet_input_blocks_7_1_transformer_blocks_{}_attn1_to_q"
    tensors = {
        f"{stem.format(number)}.{part}": torch.randn(shape)
        for number in range(10)
        for part, shape in (("lora_down.weight", (4, 1280)), ("lora_up.weight", (1280, 4)))
    }
    host.write("for-sdxl", tensors, {"ss_base_model_version": "sdxl_base_v1-0"})
    picture = draw(host, "<lora:for-sdxl> <lora:alpha>")
    assert "for-sdxl" in picture.comments
    assert "Stable Diffusion XL" in picture.comments
    assert picture.distance(draw(host, "<lora:alpha>")) == 0


def test_a_layer_that_does_not_fit_is_counted(host: Host) -> None:
    tensors = lora(1)
    stem = next(iter(tensors)).split(".")[0]
    tensors[f"{stem}.lora_up.weight"] = torch.randn(7, 4)
    host.write("one-too-narrow", tensors)
    host.set_options(lyco_report="always")
    good, bad = draw(host, "<lora:alpha>").comments, draw(host, "<lora:one-too-narrow>").comments
    assert "applied 9 of 9" in good
    assert "applied 8 of 9" in bad
