"""What becomes of each flag of sd-scripts: an option of ours, or nothing, and why.

Every flag stands in exactly one of these tables.
"""

from __future__ import annotations

from collections.abc import Mapping


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SAME = _names(
    """
    dataset_config prior_loss_weight shuffle_caption caption_separator keep_tokens
    keep_tokens_separator secondary_separator enable_wildcard caption_prefix caption_suffix
    caption_dropout_rate caption_dropout_every_n_epochs caption_tag_dropout_rate token_warmup_min
    token_warmup_step clip_skip random_crop alpha_mask vae vae_batch_size gradient_checkpointing
    fp8_base dim_from_weights noise_offset noise_offset_random_strength adaptive_noise_scale
    multires_noise_iterations multires_noise_discount ip_noise_gamma ip_noise_gamma_random_strength
    min_timestep max_timestep zero_terminal_snr loss_type huber_schedule huber_c huber_scale
    min_snr_gamma debiased_estimation_loss scale_v_pred_loss_like_noise_pred v_pred_like_loss
    max_grad_norm scale_weight_norms save_every_n_epochs save_every_n_steps save_n_epoch_ratio
    save_last_n_epochs save_last_n_steps save_state save_state_on_train_end save_last_n_epochs_state
    save_last_n_steps_state seed validation_split validation_seed validate_every_n_steps
    validate_every_n_epochs max_validation_steps sample_every_n_steps sample_every_n_epochs
    sample_at_first sample_sampler sample_prompts
    logging_dir log_with log_prefix log_tracker_name log_tracker_config wandb_run_name
    metadata_title metadata_author metadata_description metadata_license
    metadata_tags
    """
)
"""Flags that are options of the same name and meaning."""

RENAMED: Mapping[str, str] = {
    "train_data_dir": "images",
    "reg_data_dir": "reg_images",
    "in_json": "metadata_file",
    "train_batch_size": "batch_size",
    "pretrained_model_name_or_path": "base_model",
    "output_dir": "output",
    "training_comment": "comment",
    "gradient_accumulation_steps": "accumulation",
    "enable_bucket": "buckets",
    "min_bucket_reso": "bucket_min",
    "max_bucket_reso": "bucket_max",
    "bucket_reso_steps": "bucket_step",
    "flip_aug": "flip",
    "lr_scheduler_num_cycles": "scheduler_cycles",
    "lr_scheduler_power": "scheduler_power",
    "lr_scheduler_timescale": "scheduler_timescale",
    "lr_scheduler_min_lr_ratio": "scheduler_min_ratio",
    "learning_rate": "learning_rate",
    "unet_lr": "unet_learning_rate",
    "network_dropout": "dropout",
    "max_train_epochs": "epochs",
}
"""Flags that are options of another name and the same meaning."""

OBSOLETE: Mapping[str, str] = {
    **dict.fromkeys(
        ("xformers", "sdpa", "mem_eff_attn"), "torch's own attention is used, which is as fast and exact."
    ),
    **dict.fromkeys(
        ("lowram", "highvram", "persistent_data_loader_workers", "disable_mmap_load_safetensors"),
        "there is nothing to set: workers are threads, and files are read without a copy.",
    ),
    **dict.fromkeys(
        ("ddp_timeout", "ddp_gradient_as_bucket_view", "ddp_static_graph"),
        "processes add up their gradients themselves.",
    ),
    **dict.fromkeys(
        ("cache_info", "skip_cache_check"), "sizes are read from headers, caches are known by content."
    ),
    **dict.fromkeys(
        ("initial_epoch", "initial_step", "skip_until_initial_step"),
        "a resumed run goes on exactly where it was.",
    ),
    **dict.fromkeys(
        ("console_log_level", "console_log_file", "console_log_simple"), "it has no log levels."
    ),
    "tokenizer_cache_dir": "the tokenizer comes with the base model's loader.",
    "fused_backward_pass": "networks are small; their gradients are kept for clipping.",
    "text_encoder_batch_size": "captions are encoded once and kept.",
    "use_safetensors": "files are safetensors always.",
    "output_config": "lyco import prints the config.",
    "log_config": "the config stands in the file's metadata.",
    "no_half_vae": "the VAE computes in fp32 unless vae_precision says otherwise.",
    "debug_dataset": "lyco plan shows every image, bucket and caption.",
}
"""Flags that need nothing here; results are the same without them."""

UNSUPPORTED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("huggingface_repo_id", "huggingface_repo_type", "huggingface_path_in_repo"),
            *("huggingface_token", "huggingface_repo_visibility", "save_state_to_huggingface"),
            *("resume_from_huggingface", "async_upload"),
        ),
        "left out: nothing is uploaded or downloaded.",
    ),
    **dict.fromkeys(
        (
            *("deepspeed", "zero_stage", "offload_optimizer_device", "offload_optimizer_nvme_path"),
            *("offload_param_device", "offload_param_nvme_path", "zero3_init_flag"),
            *("zero3_save_16bit_model", "fp16_master_weights_and_gradients"),
        ),
        "left out: DeepSpeed is not used; the result is the same, memory is not.",
    ),
    **dict.fromkeys(
        ("torch_compile", "dynamo_backend"), "left out: the model is not compiled; the result is the same."
    ),
    **dict.fromkeys(
        ("weighting_scheme", "logit_mean", "logit_std", "mode_scale", "fp8_base_unet"),
        "left out: it is for SD3 and FLUX; train_network.py ignores it for SD1, SD2 and SDXL.",
    ),
    **dict.fromkeys(
        ("cpu_offload_checkpointing", "blocks_to_swap"),
        "left out: nothing is moved to the CPU; the result is the same, memory is not.",
    ),
    **dict.fromkeys(
        (
            *("metadata_usage_hint", "metadata_thumbnail", "metadata_merged_from"),
            *("metadata_trigger_phrase", "metadata_preprocessor", "metadata_is_negative_embedding"),
        ),
        "left out: not written into the file.",
    ),
    "dataset_class": "left out: foreign Python is not run.",
    "wandb_api_key": "left out: others could read it in a config; set WANDB_API_KEY or wandb_key_file.",
    "train_inpainting": "left out: networks for inpainting models train on the inpainting checkpoint.",
    "resume": "left out: a state of sd-scripts cannot be gone on from; network_weights takes its weights.",
}
"""Flags whose meaning is not had here."""

HANDLED = _names(
    """
    v2 v_parameterization mixed_precision full_fp16 full_bf16 dataset_repeats caption_extension
    caption_extention resolution bucket_no_upscale color_aug face_crop_aug_range
    resize_interpolation conditioning_data_dir masked_loss cache_latents cache_latents_to_disk
    cache_text_encoder_outputs cache_text_encoder_outputs_to_disk max_token_length weighted_captions
    max_train_steps max_data_loader_n_workers text_encoder_lr network_train_unet_only
    network_train_text_encoder_only lr_scheduler lr_scheduler_type lr_scheduler_args lr_warmup_steps
    lr_decay_steps optimizer_type use_8bit_adam use_lion_optimizer optimizer_args output_name
    save_precision no_metadata save_model_as network_module network_dim network_alpha network_args
    network_weights base_weights base_weights_multiplier config_file
    """
)
"""Flags with a rule of their own."""
