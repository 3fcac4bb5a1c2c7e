"""The `.yaml` that a host reads beside a made-up base model (ldm's for SD1 and SD2, sgm's for SDXL)."""

from __future__ import annotations

import json

from lib_lyco.models.plan import ModelPlan

Tree = dict[str, object]


def yaml_text(plan: ModelPlan, heads: int | None) -> str:
    """The configuration as text: JSON, which every YAML reader reads.

    Args:
        heads: Number of heads at each level; None for the published rule.
    """
    build = _sgm if plan.family == "sdxl" else _ldm
    return json.dumps({"model": build(plan, heads)}, indent=2) + "\n"


def _ldm(plan: ModelPlan, heads: int | None) -> Tree:
    v2 = plan.family == "sd2"
    params: Tree = {
        "linear_start": 0.00085,
        "linear_end": 0.0120,
        "num_timesteps_cond": 1,
        "log_every_t": 200,
        "timesteps": 1000,
        "first_stage_key": "jpg",
        "cond_stage_key": "txt",
        "image_size": 64,
        "channels": 4,
        "cond_stage_trainable": False,
        "conditioning_key": "crossattn",
        "monitor": "val/loss_simple_ema",
        "scale_factor": 0.18215,
        "use_ema": False,
        "unet_config": {
            "target": "ldm.modules.diffusionmodules.openaimodel.UNetModel",
            "params": _unet(plan, heads) | {"image_size": 32, "legacy": False},
        },
        "first_stage_config": _vae(plan, "ldm.models.autoencoder.AutoencoderKL", "ldm"),
        "cond_stage_config": {
            "target": f"ldm.modules.encoders.modules.Frozen{'OpenCLIP' if v2 else 'CLIP'}Embedder",
            "params": {"freeze": True, "layer": "penultimate"} if v2 else {},
        },
    }
    if v2:
        params["parameterization"] = "v"
    return {"target": "ldm.models.diffusion.ddpm.LatentDiffusion", "params": params}


def _sgm(plan: ModelPlan, heads: int | None) -> Tree:
    denoiser = "sgm.modules.diffusionmodules.denoiser"
    unet = _unet(plan, heads) | {
        "adm_in_channels": plan.unet.vector,
        "num_classes": "sequential",
        "spatial_transformer_attn_type": "softmax-xformers",
    }
    params: Tree = {
        "scale_factor": 0.13025,
        "disable_first_stage_autocast": True,
        "denoiser_config": {
            "target": f"{denoiser}.DiscreteDenoiser",
            "params": {
                "num_idx": 1000,
                "weighting_config": {"target": f"{denoiser}_weighting.EpsWeighting"},
                "scaling_config": {"target": f"{denoiser}_scaling.EpsScaling"},
                "discretization_config": {
                    "target": "sgm.modules.diffusionmodules.discretizer.LegacyDDPMDiscretization"
                },
            },
        },
        "network_config": {
            "target": "sgm.modules.diffusionmodules.openaimodel.UNetModel",
            "params": unet,
        },
        "conditioner_config": _conditioner(plan),
        "first_stage_config": _vae(plan, "sgm.models.autoencoder.AutoencoderKLInferenceWrapper", "sgm"),
    }
    return {"target": "sgm.models.diffusion.DiffusionEngine", "params": params}


def _conditioner(plan: ModelPlan) -> Tree:
    encoders = "sgm.modules.encoders.modules"
    size_width = (plan.unet.vector - plan.texts["te2"].width) // 6
    clip: Tree = {"layer": "hidden", "layer_idx": 11}
    open_clip: Tree = {
        "arch": "ViT-bigG-14",
        "version": "laion2b_s39b_b160k",
        "freeze": True,
        "layer": "penultimate",
        "always_return_pooled": True,
        "legacy": False,
    }
    embedders: list[Tree] = [
        {"input_key": "txt", "target": f"{encoders}.FrozenCLIPEmbedder", "params": clip},
        {"input_key": "txt", "target": f"{encoders}.FrozenOpenCLIPEmbedder2", "params": open_clip},
    ]
    for key in ("original_size_as_tuple", "crop_coords_top_left", "target_size_as_tuple"):
        embedders.append(
            {
                "input_key": key,
                "target": f"{encoders}.ConcatTimestepEmbedderND",
                "params": {"outdim": size_width},
            }
        )
    emb_models = [{"is_trainable": False, **embedder} for embedder in embedders]
    return {"target": "sgm.modules.GeneralConditioner", "params": {"emb_models": emb_models}}


def _unet(plan: ModelPlan, heads: int | None) -> Tree:
    unet = plan.unet
    top = unet.channels[0]
    resolutions = [2**level for level, depth in enumerate(unet.depths) if depth]
    params: Tree = {
        "in_channels": unet.in_channels,
        "out_channels": unet.out_channels,
        "model_channels": top,
        "attention_resolutions": resolutions[::-1],
        "num_res_blocks": 2,
        "channel_mult": [width // top for width in unet.channels],
        "use_spatial_transformer": True,
        "use_linear_in_transformer": unet.linear_projection,
        "transformer_depth": list(unet.depths) if plan.family == "sdxl" else 1,
        "context_dim": unet.context,
        "use_checkpoint": False,
    }
    if heads or plan.family == "sd1":
        return params | {"num_heads": heads or 8}
    return params | {"num_head_channels": 64}


def _vae(plan: ModelPlan, target: str, package: str) -> Tree:
    vae = plan.vae
    top = vae.channels[0]
    return {
        "target": target,
        "params": {
            "embed_dim": vae.latent_channels,
            "monitor": "val/rec_loss",
            "ddconfig": {
                "double_z": True,
                "z_channels": vae.latent_channels,
                "resolution": 256,
                "in_channels": 3,
                "out_ch": 3,
                "ch": top,
                "ch_mult": [width // top for width in vae.channels],
                "num_res_blocks": vae.layers_per_block,
                "attn_resolutions": [],
                "dropout": 0.0,
            },
            "lossconfig": {"target": "torch.nn.Identity"},
        },
    }
