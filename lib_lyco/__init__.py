"""LoRA-family networks for Stable Diffusion: understood, applied to a model, trained."""
