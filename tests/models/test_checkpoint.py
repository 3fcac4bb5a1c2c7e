"""What a base model's file may be, what it may not be, and where what shapes cannot tell is looked up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib_lyco.demo.madeup import network_tensors, small_plan
from lib_lyco.errors import FileError, ModelError, UnsafeFileError
from lib_lyco.models.base import Prediction
from lib_lyco.models.checkpoint import open_checkpoint
from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.models.load import load_model
from lib_lyco.models.settings import FACTS_KEY

Weights = dict[str, Tensor]
FACTS = {FACTS_KEY: json.dumps({"unet_heads": 4, "text_heads": [4]})}


@pytest.fixture(scope="module")
def weights(model_files: dict[str, Path]) -> dict[str, Weights]:
    return {family: load_file(path) for family, path in model_files.items()}


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Weights, Mapping[str, str]], Path]:
    def write(tensors: Weights, metadata: Mapping[str, str] = FACTS) -> Path:
        path = tmp_path / "model.safetensors"
        save_file({key: value.contiguous() for key, value in tensors.items()}, path, dict(metadata))
        return path

    return write


Save = Callable[..., Path]


def same_model(ours: DiffusersModel, theirs: DiffusersModel) -> None:
    for layer, (target,) in ours.targets().items():
        (other,) = theirs.targets()[layer]
        assert torch.equal(target.module.get_parameter("weight"), other.module.get_parameter("weight"))


def test_pickled_checkpoint_is_the_same_model(
    weights: dict[str, Weights],
    models: dict[str, DiffusersModel],
    tmp_path: Path,
    model_files: dict[str, Path],
) -> None:
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": weights["sd1"], "global_step": 7, "epoch": 1}, path)
    # a pickle has no metadata: the heads come from the .yaml and, for the text, from nowhere
    (tmp_path / "model.yaml").write_bytes(model_files["sd1"].with_suffix(".yaml").read_bytes())
    checkpoint = open_checkpoint(path)
    assert checkpoint.settings.unet_heads == (4, 4, 4, 4)
    assert checkpoint.settings.text_heads == {"te1": 1}
    same_model(load_model(path), models["sd1"])


def test_old_and_foreign_keys_are_understood_or_passed_over(
    weights: dict[str, Weights], models: dict[str, DiffusersModel], save: Save
) -> None:
    """Early SD1 files call the text model otherwise; most hold buffers and averages that nothing reads."""
    old = {
        key.replace("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer."): value
        for key, value in weights["sd1"].items()
    }
    old |= {
        "cond_stage_model.transformer.embeddings.position_ids": torch.arange(77)[None].float(),
        "cond_stage_model.logit_scale": torch.zeros(()),
        "model_ema.decay": torch.zeros(()),
        "model_ema.diffusion_modelinput_blocks00bias": torch.zeros(32),
        "alphas_cumprod": torch.zeros(1000),
    }
    same_model(load_model(save(old)), models["sd1"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_dtype_is_that_of_denoiser_and_text_but_not_of_the_autoencoder(
    dtype: torch.dtype, model_files: dict[str, Path]
) -> None:
    model = load_model(model_files["sd2"], dtype=dtype)
    assert model.dtype == dtype
    for target in (target for (target,) in model.targets().values()):
        assert target.module.get_parameter("weight").dtype == dtype
    assert {parameter.dtype for parameter in model.vae.parameters()} == {torch.float32}


def test_inpainting_model_paints_everything_under_a_full_mask(
    weights: dict[str, Weights], models: dict[str, DiffusersModel], save: Save
) -> None:
    """With weights of zero for the five further channels it is the model that it was made from."""
    key = "model.diffusion_model.input_blocks.0.0.weight"
    wide = torch.cat([weights["sd1"][key], torch.zeros(32, 5, 3, 3, dtype=torch.float16)], dim=1)
    model = load_model(save(weights["sd1"] | {key: wide}))
    noisy, timesteps = torch.randn(2, 4, 8, 8), torch.tensor([10, 900])
    with torch.no_grad():
        cond = models["sd1"].encode_prompts(["a", "b"])
        expected = models["sd1"].predict(noisy, timesteps, cond)
        torch.testing.assert_close(model.predict(noisy, timesteps, cond), expected, rtol=1e-5, atol=1e-5)
    wide[:, 4] = 1  # the mask's channel: ones change the answer
    other = load_model(save(weights["sd1"] | {key: wide}))
    with torch.no_grad():
        assert not torch.allclose(other.predict(noisy, timesteps, cond), expected, atol=1e-3)


def wrong_files(whole: Weights) -> dict[str, Weights]:
    """By a word of the message that each must get."""
    vae, unet = "first_stage_model.", "model.diffusion_model."
    return {
        "a network": network_tensors(small_plan("sd1")),
        "an autoencoder alone": {
            key.removeprefix(vae): value for key, value in whole.items() if key.startswith(vae)
        },
        "without its text encoders": {key: value for key, value in whole.items() if key.startswith(unet)},
        "no autoencoder": {key: value for key, value in whole.items() if not key.startswith(vae)},
        "a Flux model": {"double_blocks.0.img_attn.qkv.weight": torch.zeros(3, 1)},
        "a Stable Diffusion 3 model": {"model.diffusion_model.joint_blocks.0.x.weight": torch.zeros(3, 1)},
        "a model in the layout of diffusers": {"down_blocks.0.resnets.0.conv1.weight": torch.zeros(3, 1)},
        "foo.weight": {"foo.weight": torch.zeros(1)},
    }


@pytest.mark.parametrize("message", list(wrong_files({})))
def test_wrong_file_is_called_by_its_name(message: str, weights: dict[str, Weights], save: Save) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(save(wrong_files(weights["sd1"])[message]))


@pytest.mark.parametrize(
    "lost",
    [
        "model.diffusion_model.input_blocks.1.0.out_layers.3.weight",
        "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight",
        "model.diffusion_model.output_blocks.5.1.norm.bias",
        "cond_stage_model.transformer.text_model.encoder.layers.3.mlp.fc1.weight",
        "first_stage_model.post_quant_conv.bias",
    ],
)
def test_missing_tensor_is_named(lost: str, weights: dict[str, Weights], save: Save) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(save({key: value for key, value in weights["sd1"].items() if key != lost}))
    assert lost in str(caught.value)


def test_unexpected_tensor_of_a_component_is_named(weights: dict[str, Weights], save: Save) -> None:
    extra = {"model.diffusion_model.input_blocks.1.0.extra.weight": torch.zeros(2)}
    with pytest.raises(
        ModelError, match=r"1 unexpected: model\.diffusion_model\.input_blocks\.1\.0\.extra"
    ):
        load_model(save(weights["sd1"] | extra))


def test_wrong_shape_says_what_was_expected(weights: dict[str, Weights], save: Save) -> None:
    key = "model.diffusion_model.out.0.weight"
    with pytest.raises(ModelError, match=r"(?s)out\.0\.weight.*\(33,\).*\(32,\)"):
        load_model(save(weights["sd1"] | {key: torch.zeros(33)}))


def test_truncated_absent_and_hostile_files_are_our_errors(
    model_files: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    content = model_files["sd1"].read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FileError):
        load_model(path)
    with pytest.raises(FileError):
        load_model(tmp_path / "absent.safetensors")
    path.write_bytes(b"")
    with pytest.raises(FileError):
        load_model(path)
    hostile = tmp_path / "model.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "code": print}, hostile)
    with pytest.raises(UnsafeFileError):
        load_model(hostile)


@pytest.mark.parametrize(
    ("tensors", "metadata", "yaml", "argument", "expected"),
    [
        ({}, {}, "", None, "epsilon"),
        ({"v_pred": torch.zeros(0)}, {}, "", None, "v"),
        ({}, {"modelspec.prediction_type": "v"}, "", None, "v"),
        ({}, {}, "model: {params: {parameterization: v}}", None, "v"),
        (
            {},
            {"modelspec.prediction_type": "v"},
            "model: {params: {parameterization: eps}}",
            None,
            "epsilon",
        ),
        ({"v_pred": torch.zeros(0)}, {}, "", "epsilon", "epsilon"),
    ],
)
def test_prediction_comes_from_the_first_source_that_says_it(
    tensors: Weights,
    metadata: dict[str, str],
    yaml: str,
    argument: Prediction | None,
    expected: Prediction,
    weights: dict[str, Weights],
    save: Save,
) -> None:
    path = save(weights["sd1"] | tensors, FACTS | metadata)
    path.with_suffix(".yaml").write_text(yaml, encoding="utf-8")
    assert open_checkpoint(path, argument).settings.prediction == expected


def test_marked_model_has_zero_signal_at_its_last_timestep(weights: dict[str, Weights], save: Save) -> None:
    marks = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    schedule = load_model(save(weights["sd1"] | marks)).schedule
    assert schedule.prediction == "v"
    assert float(schedule.alphas_cumprod[-1]) == 0
    assert float(schedule.alphas_cumprod[0]) == pytest.approx(1 - 0.00085, rel=1e-6)


def test_heads_are_never_guessed_at_an_unknown_width(weights: dict[str, Weights], save: Save) -> None:
    with pytest.raises(ModelError, match="attention heads is not known"):
        open_checkpoint(save(weights["sd2"], {}))


@pytest.mark.parametrize(
    "text", ["4", "[]", "{", '{"unet_heads": 0, "text_heads": 4}', '{"unet_heads": 4}']
)
def test_unreadable_facts_are_named(text: str, weights: dict[str, Weights], save: Save) -> None:
    with pytest.raises(ModelError, match=FACTS_KEY):
        open_checkpoint(save(weights["sd1"], {FACTS_KEY: text}))


def test_unreadable_yaml_is_named(weights: dict[str, Weights], save: Save) -> None:
    path = save(weights["sd1"])
    path.with_suffix(".yaml").write_text("model: [", encoding="utf-8")
    with pytest.raises(ModelError, match=r"\.yaml cannot be read"):
        open_checkpoint(path)
