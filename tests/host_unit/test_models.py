"""The host's models: whatever a checkpoint's file holds, a network can change, wrappers or not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor, nn

from lib_lyco.apply.match import match_network
from lib_lyco.demo.embedded import checkpoint
from lib_lyco.demo.madeup import Known, network_metadata, network_tensors, small_plan, write_checkpoint
from lib_lyco.host.models import REFINER, HostModel, read_model
from lib_lyco.models.target import Target
from lib_lyco.naming.layer import LayerName
from lib_lyco.naming.table import layer_table
from lib_lyco.network.decode import decode_network
from tests.host_unit.trees import Wrapper, meta_tree, tree, wrap

WRAPPED: dict[Known, tuple[str, ...]] = {
    # what sd_hijack.hijack wraps, innermost first
    "sd1": (
        "cond_stage_model.transformer.text_model.embeddings.token_embedding",
        "cond_stage_model",
    ),
    "sd2": ("cond_stage_model.model.token_embedding", "cond_stage_model"),
    "sdxl": (
        "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding",
        "conditioner.embedders.1.model.token_embedding",
        "conditioner.embedders.0",
        "conditioner.embedders.1",
    ),
}
UNREAD = {
    # OpenCLIP's last resblock and projection in SD2: nothing reads them, no network has them
    "sd1": 0,
    "sd2": 13,
    "sdxl": 0,
}


def checkpoint_tensors(folder: Path, family: Known) -> dict[str, Tensor]:
    tensors = load_file(write_checkpoint(folder / f"{family}.safetensors", family))
    # open_clip's modules hold these two in themselves; the file's spelling of the projection varies
    return {key: value for key, value in tensors.items() if not key.startswith("first_stage_model.")}


def parameters_of(target: Target) -> list[nn.Parameter]:
    found = [getattr(target.module, name, None) for name in (target.weight, target.bias)]
    return [parameter for parameter in found if isinstance(parameter, nn.Parameter)]


def count_targets(model: HostModel) -> Counter[int]:
    """How many plain layers each parameter belongs to."""
    table = layer_table(model.family or "sd1")
    plain = [targets for layer, targets in model.targets.items() if layer in table]
    return Counter(
        id(parameter) for targets in plain for target in targets for parameter in parameters_of(target)
    )


@pytest.mark.parametrize("hijacked", [False, True])
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_every_parameter_of_a_checkpoint_is_a_target(tmp_path: Path, family: Known, hijacked: bool) -> None:
    root = tree(checkpoint_tensors(tmp_path, family))
    for path in WRAPPED[family] if hijacked else ():
        wrap(root, path)
    model = read_model(root)
    assert model.family == family
    counts = count_targets(model)
    left = [name for name, parameter in root.named_parameters() if id(parameter) not in counts]
    assert len(left) == UNREAD[family], left
    thirds = sum(count == 3 for count in counts.values())
    fused = sum(
        name.endswith(("in_proj_weight", "in_proj_bias")) and id(parameter) in counts
        for name, parameter in root.named_parameters()
    )
    assert thirds == fused
    assert all(count in (1, 3) for count in counts.values())


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a_network_for_the_family_matches_whole(tmp_path: Path, family: Known) -> None:
    root = tree(checkpoint_tensors(tmp_path, family))
    for path in WRAPPED[family]:
        wrap(root, path)
    plan = small_plan(family)
    network = decode_network(network_tensors(plan), network_metadata(plan), "made-up", "id")
    match = match_network(network, read_model(root).targets)
    assert match.unmatched == ()
    assert len(match.pairs) == len(network.adapters)


def test_the_embedded_model_is_sd1() -> None:
    model = read_model(tree(load_file(checkpoint())))
    assert model.title == "Stable Diffusion 1"
    assert LayerName("te1", "text_model.encoder.layers.0.mlp.fc1") in model.targets


def sd3_shapes() -> dict[str, tuple[int, ...]]:
    table = layer_table("sd3")
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in table:
        place, root = table.host_place(layer), table.host_root(layer.component)
        shape = table.shape(layer)
        rows = place.rows.count if place.rows else 1
        shapes[f"{root}.{place.parameter()}"] = (rows * shape[0], *shape[1:])
    return shapes


def test_sd3_has_its_fused_attention_whole_and_in_parts() -> None:
    model = read_model(meta_tree(sd3_shapes()))
    assert model.family == "sd3"
    whole = model.targets[LayerName("unet", "transformer_blocks.3.attn.to_qkv")]
    parts = [model.targets[LayerName("unet", f"transformer_blocks.3.attn.to_{x}")][0] for x in "qkv"]
    assert [part.rows for part in parts] == [(0, 1536), (1536, 3072), (3072, 4608)]
    assert {id(part.module) for part in parts} == {id(target.module) for target in whole}
    assert whole[0].rows is None


def test_the_vocabulary_of_t5_is_found_under_the_name_that_the_host_gives_it() -> None:
    """In its `other_impls.py`, `T5` holds an `encoder` with `embed_tokens`, and no `shared`."""
    shapes = sd3_shapes()
    root = "text_encoders.t5xxl.transformer"
    shapes[f"{root}.encoder.embed_tokens.weight"] = shapes.pop(f"{root}.shared.weight")
    made = meta_tree(shapes)
    model = read_model(made)
    (target,) = model.targets[LayerName("te3", "shared")]
    assert target.module is made.get_submodule(f"{root}.encoder.embed_tokens")
    counts = count_targets(model)
    assert all(id(parameter) in counts for parameter in made.parameters())


def test_sd3_without_t5_lacks_only_that() -> None:
    shapes = {key: shape for key, shape in sd3_shapes().items() if "t5xxl" not in key}
    model = read_model(meta_tree(shapes))
    assert {layer.component for layer in model.targets} == {"unet", "te1", "te2"}


def test_layers_that_were_taken_out_are_not_there(tmp_path: Path) -> None:
    tensors = checkpoint_tensors(tmp_path, "sdxl")
    ssd = {key: value for key, value in tensors.items() if ".middle_block.1." not in key}
    model = read_model(tree(ssd))
    assert model.family == "sdxl"
    assert not any(layer.path.startswith("mid_block.attentions") for layer in model.targets)
    assert any(layer.path.startswith("mid_block.resnets") for layer in model.targets)


def test_the_refiner_is_none_of_ours() -> None:
    shapes = {
        "model.diffusion_model.input_blocks.0.0.weight": (384, 4, 3, 3),
        "conditioner.embedders.0.model.ln_final.weight": (1280,),
    }
    model = read_model(meta_tree(shapes))
    assert (model.family, model.title, model.targets) == (None, REFINER, {})


def test_an_unknown_model_has_no_targets() -> None:
    model = read_model(Wrapper(nn.Linear(2, 2)))
    assert (model.family, model.title, model.targets) == (None, "Wrapper", {})
