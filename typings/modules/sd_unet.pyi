from typing import Any

current_unet: Any
"""What computes in the UNet's place, if anything does."""
