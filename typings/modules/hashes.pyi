def sha256_from_cache(filename: str, title: str, use_addnet_hash: bool = False) -> str | None:
    """A hash computed before and still true; kohya's, of the tensors alone, with `use_addnet_hash`."""
