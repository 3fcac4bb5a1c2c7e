"""The names of all flags of sd-scripts' trainers for networks, by the type of their values.

Read from `train_network.py` and `sdxl_train_network.py` at commit 48d368f (February 2026).
"""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SWITCHES = _names(
    """
    v2 v_parameterization use_8bit_adam use_lion_optimizer fused_backward_pass
    save_state_to_huggingface resume_from_huggingface async_upload save_state
    save_state_on_train_end mem_eff_attn torch_compile xformers sdpa persistent_data_loader_workers
    gradient_checkpointing full_fp16 full_bf16 fp8_base ddp_gradient_as_bucket_view ddp_static_graph
    log_config noise_offset_random_strength ip_noise_gamma_random_strength zero_terminal_snr lowram
    highvram sample_at_first output_config masked_loss cache_text_encoder_outputs
    cache_text_encoder_outputs_to_disk disable_mmap_load_safetensors cache_info shuffle_caption
    enable_wildcard color_aug flip_aug random_crop debug_dataset cache_latents cache_latents_to_disk
    skip_cache_check enable_bucket bucket_no_upscale alpha_mask use_safetensors
    cpu_offload_checkpointing no_metadata fp8_base_unet network_train_unet_only
    network_train_text_encoder_only dim_from_weights no_half_vae skip_until_initial_step
    scale_v_pred_loss_like_noise_pred debiased_estimation_loss weighted_captions deepspeed
    zero3_init_flag zero3_save_16bit_model fp16_master_weights_and_gradients console_log_simple
    train_inpainting
    """
)
INTS = _names(
    """
    lr_scheduler_num_cycles lr_scheduler_timescale save_every_n_epochs save_every_n_steps
    save_n_epoch_ratio save_last_n_epochs save_last_n_epochs_state save_last_n_steps
    save_last_n_steps_state train_batch_size max_token_length max_train_steps max_train_epochs
    max_data_loader_n_workers seed gradient_accumulation_steps ddp_timeout clip_skip
    multires_noise_iterations min_timestep max_timestep sample_every_n_steps sample_every_n_epochs
    text_encoder_batch_size blocks_to_swap keep_tokens vae_batch_size min_bucket_reso
    max_bucket_reso bucket_reso_steps token_warmup_min caption_dropout_every_n_epochs
    dataset_repeats network_dim initial_epoch initial_step validation_seed validate_every_n_steps
    validate_every_n_epochs max_validation_steps zero_stage
    """
)
FLOATS = _names(
    """
    learning_rate max_grad_norm lr_scheduler_power lr_scheduler_min_lr_ratio noise_offset
    ip_noise_gamma multires_noise_discount adaptive_noise_scale huber_c huber_scale
    prior_loss_weight token_warmup_step caption_dropout_rate caption_tag_dropout_rate unet_lr
    network_alpha network_dropout scale_weight_norms validation_split min_snr_gamma v_pred_like_loss
    lr_warmup_steps lr_decay_steps logit_mean logit_std mode_scale
    """
)
TEXTS = _names(
    """
    pretrained_model_name_or_path tokenizer_cache_dir optimizer_type lr_scheduler_type lr_scheduler
    output_dir output_name huggingface_repo_id huggingface_repo_type huggingface_path_in_repo
    huggingface_token huggingface_repo_visibility save_precision resume dynamo_backend vae
    mixed_precision logging_dir log_with log_prefix log_tracker_name wandb_run_name
    log_tracker_config wandb_api_key loss_type huber_schedule sample_prompts sample_sampler
    config_file conditioning_data_dir weighting_scheme train_data_dir caption_separator
    caption_extension caption_extention keep_tokens_separator secondary_separator caption_prefix
    caption_suffix face_crop_aug_range resolution resize_interpolation dataset_class reg_data_dir
    in_json save_model_as network_weights network_module training_comment dataset_config
    offload_optimizer_device offload_optimizer_nvme_path offload_param_device
    offload_param_nvme_path metadata_title metadata_author metadata_description metadata_license
    metadata_tags metadata_usage_hint metadata_thumbnail metadata_merged_from
    metadata_trigger_phrase metadata_preprocessor metadata_is_negative_embedding console_log_level
    console_log_file
    """
)
TEXT_LISTS = _names("optimizer_args lr_scheduler_args network_args base_weights")
FLOAT_LISTS = _names("text_encoder_lr base_weights_multiplier")

ALL_FLAGS = (*SWITCHES, *INTS, *FLOATS, *TEXTS, *TEXT_LISTS, *FLOAT_LISTS)
