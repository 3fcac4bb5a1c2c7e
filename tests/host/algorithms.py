"""Which kinds of networks the builtin Lora extension of WebUI 1.10.1 gets right, as data.

Each row makes files on a few layers of the embedded model, and says what is right. Where `wrong` is
empty the builtin does that, up to rounding; else it says what the builtin does, and in which of its files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from lycoris.modules.dylora import DyLoraModule
from lycoris.modules.glora import GLoRAModule
from lycoris.modules.ia3 import IA3Module
from lycoris.modules.norms import NormModule
from lycoris.modules.tlora import TLoraModule

from lib_lyco.naming.layer import LayerName
from tests.host import formulas, writers
from tests.host.formulas import Exact
from tests.host.writers import Make, but, made, reshaped, stored_as, trained

LINEAR = (
    LayerName("te1", "text_model.encoder.layers.0.self_attn.q_proj"),
    LayerName("te1", "text_model.encoder.layers.7.mlp.fc1"),
    LayerName("unet", "time_embedding.linear_1"),
    LayerName("unet", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"),
    LayerName("unet", "down_blocks.2.attentions.1.transformer_blocks.0.attn2.to_k"),
    LayerName("unet", "up_blocks.3.attentions.2.transformer_blocks.0.ff.net.0.proj"),
)
POINTWISE = (
    LayerName("unet", "mid_block.attentions.0.proj_in"),
    LayerName("unet", "up_blocks.3.resnets.2.conv_shortcut"),
)
KERNEL = (
    LayerName("unet", "down_blocks.0.downsamplers.0.conv"),
    LayerName("unet", "up_blocks.0.upsamplers.0.conv"),
    LayerName("unet", "up_blocks.3.resnets.2.conv1"),
)
NORMS = (
    LayerName("te1", "text_model.encoder.layers.0.layer_norm1"),
    LayerName("unet", "down_blocks.1.resnets.0.norm1"),
    LayerName("unet", "mid_block.attentions.0.norm"),
    LayerName("unet", "up_blocks.1.attentions.1.transformer_blocks.0.norm2"),
)
LAST_NORMS = (LayerName("te1", "text_model.final_layer_norm"), LayerName("unet", "conv_norm_out"))
CONV = (*POINTWISE, *KERNEL)
ALL = (*LINEAR, *CONV)
LARGE = ALL[1:]
"""Where LyCORIS splits the second factor of a LoKr of rank 4."""
BIASED = tuple(name for name in ALL if ".attn" not in name.path)

CHAIN = 3.0
"""Roundings of the builtin in a chain of operations: products of products, an inverse, a norm, stages."""


@dataclass(frozen=True)
class Row:
    """One kind of network."""

    name: str
    make: Make
    exact: Exact
    """What is right."""
    layers: tuple[LayerName, ...] = ALL
    te: float = 1.0
    unet: float = 1.0
    rank: int | None = None
    """`dyn` of the tag."""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    wrong: str = ""
    """What the builtin does wrong; empty where it is right."""
    roundings: float = 1.0
    """How far the builtin may be from ours, where it is right."""

    def __str__(self) -> str:
        return self.name

    @property
    def options(self) -> str:
        """What follows the network's name in its tag."""
        return f":{self.te}:{self.unet}" + ("" if self.rank is None else f":{self.rank}")


LORA, LOHA = trained(writers.lora_module), trained(writers.loha_module, 0.2)
TUCKER = trained(lambda layer: writers.lora_module(layer, use_tucker=True), 0.15)
LOKR = trained(lambda layer: writers.lokr_module(layer, factor=4))
GLORA_OLD = made(
    a1__weight=lambda w: (4, w[1]), a2__weight=lambda w: (w[1], 4),
    b1__weight=lambda w: (4, w[1]), b2__weight=lambda w: (w[0], 4),
)  # fmt: skip
LOKR_FIRST = made(
    0.2, lokr_w1_a=lambda w: (8, 2), lokr_w1_b=lambda w: (2, 4),
    lokr_w2=lambda w: (w[0] // 8, w[1] // 4, *w[2:]), alpha=lambda w: (1,),
)  # fmt: skip
NORM = trained(lambda layer: NormModule("m", layer))
TLORA = trained(lambda layer: TLoraModule("m", layer, lora_dim=4, alpha=2, bypass_mode=True))
GLORA_ROOTED = trained(lambda layer: GLoRAModule("m", layer, lora_dim=4, alpha=2, rs_lora=True))
AS_PEFT = but(
    LORA,
    "lora_up.weight",
    "lora_down.weight",
    lora_A__weight=lambda parts: parts["lora_down.weight"],
    lora_B__weight=lambda parts: parts["lora_up.weight"],
)
GLORA = trained(lambda layer: GLoRAModule("m", layer, lora_dim=4, alpha=2))
OFT_DIAG = made(0.05, oft_diag=lambda w: (w[0] // 8, 8, 8))
OFT_OF_PEFT = made(0.1, oft_R__weight=lambda w: (w[1:].numel() // 8, 28))
MAGNITUDE = made(0.1, magnitude=lambda w: (w[0],))
SET = made(0.1, set_weight=lambda w: w)
DYLORA = trained(lambda layer: DyLoraModule("m", layer, lora_dim=4, alpha=2, block_size=2))
DORA = trained(lambda layer: writers.lora_module(layer, weight_decompose=True))
DORA_IN = trained(lambda layer: writers.lora_module(layer, weight_decompose=True, wd_on_out=False))
BY_ROWS, BY_COLUMNS = formulas.dora(formulas.lora, 0), formulas.dora(formulas.lora, 1)

RIGHT = (
    Row("lora", LORA, formulas.lora),
    Row("lora at other strengths", LORA, formulas.lora, te=0.7, unet=-0.4),
    Row("lora on the denoiser only", LORA, formulas.lora, te=0.0, unet=0.8),
    Row("lora without alpha", but(LORA, "alpha"), formulas.lora),
    Row("lora with a negative int64 alpha", but(LORA, alpha=torch.tensor(-3)), formulas.lora),
    Row("lora with an alpha of one dim", but(LORA, alpha=torch.tensor([1.5])), formulas.lora),
    Row("lora with a scale of its own", but(LORA, scale=torch.tensor(0.7)), formulas.lora),
    Row(
        "lora of two dims on pointwise convs",
        reshaped(LORA, lambda t: t.shape[:2]),
        formulas.lora,
        POINTWISE,
    ),
    Row("lora of four dims on linears", reshaped(LORA, lambda t: (*t.shape, 1, 1)), formulas.lora, LINEAR),
    Row("lora at half its rank", LORA, formulas.cut(2, 1.0), rank=2),
    Row("lora in float16", stored_as(LORA, torch.float16), formulas.lora),
    Row("lora in bfloat16", stored_as(LORA, torch.bfloat16), formulas.lora),
    Row("lora with a dense residual", writers.both(LORA, made(0.05, bias=lambda w: w)), formulas.lora),
    Row(
        "locon, Tucker",
        trained(lambda layer: writers.lora_module(layer, use_tucker=True), 0.15),
        formulas.lora,
        KERNEL,
    ),
    Row(
        "locon with a scalar",
        trained(lambda layer: writers.lora_module(layer, use_scalar=True), 0.2),
        formulas.lora,
    ),
    Row("rs-lora", trained(lambda layer: writers.lora_module(layer, rs_lora=True), 0.07), formulas.lora),
    Row("loha", LOHA, formulas.loha, roundings=CHAIN),
    Row(
        "loha, Tucker",
        trained(lambda layer: writers.loha_module(layer, use_tucker=True), 0.3),
        formulas.loha,
        KERNEL,
        roundings=CHAIN,
    ),
    Row(
        "loha of OneTrainer",
        reshaped(LOHA, lambda t: (*t.shape, 1, 1)),
        formulas.loha,
        POINTWISE,
        roundings=CHAIN,
    ),
    Row(
        "rs-loha",
        trained(lambda layer: writers.loha_module(layer, rs_lora=True), 0.2),
        formulas.loha,
        roundings=CHAIN,
    ),
    Row("lokr, second factor split", LOKR, formulas.lokr),
    Row("lokr, first factor split", LOKR_FIRST, formulas.lokr),
    Row(
        "lokr, both split",
        trained(lambda layer: writers.lokr_module(layer, 2, factor=16, decompose_both=True), 0.2),
        formulas.lokr,
    ),
    Row(
        "lokr, both whole",
        trained(lambda layer: writers.lokr_module(layer, 64, 7, factor=4, full_matrix=True), 0.03),
        formulas.lokr,
    ),
    Row(
        "lokr, unbalanced",
        trained(lambda layer: writers.lokr_module(layer, 2, factor=8, unbalanced_factorization=True)),
        formulas.lokr,
    ),
    Row(
        "lokr, Tucker",
        trained(lambda layer: writers.lokr_module(layer, factor=4, use_tucker=True), 0.2),
        formulas.lokr,
        KERNEL,
    ),
    Row("ia3 on outputs", trained(lambda layer: IA3Module("m", layer), 0.15), formulas.ia3, LINEAR),
    Row(
        "ia3 on inputs",
        trained(lambda layer: IA3Module("m", layer, train_on_input=True), 0.15),
        formulas.ia3,
    ),
    Row("full", writers.full, formulas.full),
    Row("full with biases", writers.both(writers.full, writers.bias), formulas.full, BIASED, unet=0.7),
    Row("norm", NORM, formulas.full, NORMS, te=0.5, unet=0.9),
    Row(
        "glora, old, alpha as the rank", but(GLORA_OLD, alpha=torch.tensor(4.0)), formulas.glora_old, LINEAR
    ),
    Row("diag-oft", trained(writers.oft_module), formulas.oft, roundings=CHAIN),
    Row(
        "diag-oft at half strength",
        trained(writers.oft_module),
        formulas.oft,
        te=0.5,
        unet=0.5,
        roundings=CHAIN,
    ),
    Row(
        "diag-oft, constrained",
        trained(lambda layer: writers.oft_module(layer, constraint=0.001)),
        formulas.oft,
        roundings=CHAIN,
    ),
    Row(
        "diag-oft, rescaled",
        trained(lambda layer: writers.oft_module(layer, rescaled=True)),
        formulas.oft,
        roundings=CHAIN,
    ),
    Row(
        "diag-oft of 2023",
        but(OFT_DIAG, oft_diag=lambda p: p["oft_diag"] + torch.eye(8)),
        formulas.oft_diag,
        roundings=CHAIN,
    ),
    Row("boft", trained(writers.boft_module), formulas.boft, roundings=CHAIN),
    Row(
        "boft at half strength",
        trained(writers.boft_module),
        formulas.boft,
        te=0.5,
        unet=0.5,
        roundings=CHAIN,
    ),
    Row(
        "boft, rescaled",
        trained(lambda layer: writers.boft_module(layer, rescaled=True)),
        formulas.boft,
        roundings=CHAIN,
    ),
    Row("dora by columns", DORA_IN, BY_COLUMNS, roundings=CHAIN),
    Row("dora by columns at half strength", DORA_IN, BY_COLUMNS, te=0.5, unet=0.5, roundings=CHAIN),
    Row(
        "doha by columns",
        trained(lambda layer: writers.loha_module(layer, weight_decompose=True, wd_on_out=False), 0.2),
        formulas.dora(formulas.loha, 1),
        roundings=CHAIN,
    ),
    Row(
        "dokr by columns",
        trained(lambda layer: writers.lokr_module(layer, factor=4, weight_decompose=True, wd_on_out=False)),
        formulas.dora(formulas.lokr, 1),
        roundings=CHAIN,
    ),
)

_DROPS = "drops the whole network, since no class of its accepts these parts (networks.py, load_network)"
_AXIS = "takes the norm of columns whatever the magnitude's shape (network.py, apply_weight_decompose)"
_NEW = "multiplies in the old layout's order, and fails (network_glora.py)"
_HALF = "skips the layer: torch 2.1 multiplies no float16 matrices on a CPU"
_RANKS = "keeps the scale of all ranks, whatever the trainer's was (lyco_helpers.py, rebuild_conventional)"
_OF_LYCORIS = {"ss_network_args": '{"algo": "dylora", "block_size": "2"}'}
_OF_SD_SCRIPTS = {"ss_network_module": "networks.dylora", "ss_network_args": '{"unit": "2"}'}
_ROOTED = {"ss_network_args": '{"algo": "glora", "rs_lora": "True"}'}

WRONG = (
    Row("dora by rows", DORA, BY_ROWS, wrong=_AXIS),
    Row("dora by rows at half strength", DORA, BY_ROWS, te=0.5, unet=0.5, wrong=_AXIS),
    Row(
        "doha by rows",
        trained(lambda layer: writers.loha_module(layer, weight_decompose=True), 0.2),
        formulas.dora(formulas.loha, 0),
        wrong=_AXIS,
    ),
    Row(
        "dokr by rows",
        trained(lambda layer: writers.lokr_module(layer, factor=4, weight_decompose=True)),
        formulas.dora(formulas.lokr, 0),
        wrong=_AXIS,
    ),
    Row(
        "dora of ai-toolkit",
        but(writers.both(LORA, MAGNITUDE), magnitude=lambda p: p["magnitude"] + 0.6),
        formulas.dora(formulas.lora, 0, "magnitude"),
        wrong="leaves the magnitude out: it knows dora_scale only (network.py)",
    ),
    Row("glora", GLORA, formulas.glora, wrong=_NEW),
    Row("rs-glora", GLORA_ROOTED, formulas.glora_rooted, metadata=_ROOTED, wrong=_NEW),
    Row(
        "glora, old",
        but(GLORA_OLD, alpha=torch.tensor(1.0)),
        formulas.glora_old,
        LINEAR,
        wrong="takes no notice of alpha / rank (network_glora.py)",
    ),
    Row("glora, old, without alpha", GLORA_OLD, formulas.glora_old, LINEAR, wrong=_DROPS),
    Row(
        "ia3 on the outputs of convs",
        trained(lambda layer: IA3Module("m", layer), 0.15),
        formulas.ia3,
        CONV,
        wrong="makes two dims of four, and fails (network_ia3.py)",
    ),
    Row(
        "biases where there was none",
        writers.both(writers.full, writers.bias),
        formulas.full,
        wrong="takes its bias for the layer's own at the next step, and ends the picture (networks.py)",
    ),
    Row("biases alone", writers.bias, formulas.full, BIASED, unet=0.5, wrong=_DROPS),
    Row("norm without bias", but(NORM, "b_norm"), formulas.full, NORMS, wrong=_DROPS),
    Row(
        "the last norms",
        NORM,
        formulas.full,
        LAST_NORMS,
        wrong="knows no such names (networks.py, convert_diffusers_name_to_compvis)",
    ),
    Row("t-lora", TLORA, formulas.tlora, (*LINEAR, *POINTWISE), wrong=_DROPS),
    Row("oft of PEFT and OneTrainer", OFT_OF_PEFT, formulas.oft_of_peft, LINEAR, wrong=_DROPS),
    Row("set_weight of ComfyUI", SET, formulas.replaced, te=0.3, unet=0.3, wrong=_DROPS),
    Row(
        "lora with a sparse residual",
        writers.both(LORA, writers.sparse),
        formulas.lora,
        wrong="leaves the residual out (network.py)",
    ),
    Row(
        "lora_A, lora_B and alpha",
        AS_PEFT,
        formulas.lora_of_peft,
        wrong="forgets alpha (network_lora.py, create_module)",
    ),
    Row(
        "locon, Tucker, at half its rank",
        TUCKER,
        formulas.cut(2, 1.0),
        KERNEL,
        rank=2,
        wrong="takes no notice of the rank (lyco_helpers.py, rebuild_cp_decomposition)",
    ),
    Row(
        "dylora of sd-scripts at half its rank",
        LORA,
        formulas.cut(2, 2**0.5),
        rank=2,
        metadata=_OF_SD_SCRIPTS,
        wrong=_RANKS,
    ),
    Row("dylora of LyCORIS", DYLORA, formulas.cut(4, 2.0), metadata=_OF_LYCORIS, wrong=_RANKS),
    Row(
        "dylora of LyCORIS at half its rank",
        DYLORA,
        formulas.cut(2, 4.0),
        rank=2,
        metadata=_OF_LYCORIS,
        wrong=_RANKS,
    ),
    Row("loha in float16", stored_as(LOHA, torch.float16), formulas.loha, wrong=_HALF),
    Row("lokr in float16", stored_as(LOKR, torch.float16), formulas.lokr, LARGE, wrong=_HALF),
)
