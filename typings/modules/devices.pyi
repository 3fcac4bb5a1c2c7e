import torch

device: torch.device
cpu: torch.device
