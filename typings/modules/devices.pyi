import torch

device: torch.device
cpu: torch.device
dtype_unet: torch.dtype
fp8: bool
"""Whether the loaded model's weights are kept in 8 bits."""
