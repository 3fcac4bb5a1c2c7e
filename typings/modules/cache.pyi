from collections.abc import MutableMapping
from typing import Any

cache_dir: str
"""Where the host keeps what can be computed again; older hosts have it not."""

def cache(subsection: str) -> MutableMapping[str, dict[str, Any]]:
    """On disk: title -> value."""
