"""A plan walks a base model without weights, whose values the WebUI's old transformers would read."""

from __future__ import annotations

import transformers

_VERSION = tuple(int(number) for number in transformers.__version__.split(".")[:2])

collect_ignore_glob = ["test_*.py"] if _VERSION < (4, 40) else []
