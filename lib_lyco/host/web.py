"""Our routes on the WebUI's server."""

from __future__ import annotations

import re
from collections.abc import Sequence

from modules import shared

from lib_lyco.web import server
from lib_lyco.web.route import Route


def add_routes(app: server.Server, routes: Sequence[Route]) -> None:
    """Adds routes to the server of the WebUI's page; none where there is no page (`--nowebui`)."""
    server.add_routes(app, routes, is_allowed)


def is_allowed(origin: str) -> bool:
    """Whether `--cors-allow-origins` or `--cors-allow-origins-regex` names a site."""
    named = getattr(shared.cmd_opts, "cors_allow_origins", None) or ""
    pattern = getattr(shared.cmd_opts, "cors_allow_origins_regex", None)
    return origin in named.split(",") or bool(pattern and re.fullmatch(pattern, origin))
