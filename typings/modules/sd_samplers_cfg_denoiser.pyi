from modules.processing import StableDiffusionProcessing
from torch import nn

class CFGDenoiser(nn.Module):
    p: StableDiffusionProcessing
    step: int
    """Calls of the denoiser in this pass before this one; some samplers call twice for one step."""
    steps: int
    """Steps of this pass."""
    total_steps: int
    """Calls expected."""
