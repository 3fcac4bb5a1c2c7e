def sha256(filename: str, title: str, use_addnet_hash: bool = False) -> str | None:
    """From the cache, or computed into it; None with `--no-hashing`."""
