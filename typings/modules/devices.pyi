import torch

device: torch.device
cpu: torch.device
fp8: bool
"""Whether the loaded model's weights are kept in 8 bits."""
