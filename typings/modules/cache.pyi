from collections.abc import MutableMapping
from typing import Any

def cache(subsection: str) -> MutableMapping[str, dict[str, Any]]:
    """On disk: title -> value."""
