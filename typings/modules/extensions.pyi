class Extension:
    path: str
    """Its folder."""

def active() -> list[Extension]:
    """Those that are enabled, as when scripts were loaded last."""
