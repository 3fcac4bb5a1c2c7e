"""What computes in the UNet's place: nothing, here."""

from __future__ import annotations

from typing import Any

current_unet: Any = None
