"""Routes of our own on the WebUI's server: for whoever may see the page, and for nobody else.

The WebUI's own routes for pages ask nobody who they are. Ours do, where `--gradio-auth` is given: with
gradio's own check of the login. What changes something is a POST with a JSON object, and is refused when
another site's page sends it; a browser says which page that is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from modules import shared

from lib_lyco.apply.outcome import one_line
from lib_lyco.errors import LycoError, NetworkNotFoundError

LOGIN_CHECK = "/login_check"
"""gradio's own route: refuses whoever is not logged in, where a login is asked for."""


@dataclass(frozen=True)
class Ask:
    """One request, as far as an answer may depend on it."""

    given: Mapping[str, str] = field(default_factory=dict[str, str])
    """What stands in the address: its path's variable parts and its query."""
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The JSON object of a POST."""


Answer = Callable[[Ask], Mapping[str, Any]]
"""Makes the answer. LycoError: what was asked for cannot be had."""


@dataclass(frozen=True)
class Route:
    """An address and what answers there."""

    method: str
    path: str
    answer: Answer


class Server(Protocol):
    """What is used of FastAPI."""

    @property
    def routes(self) -> Iterable[Any]:
        """All routes."""
        ...

    def add_api_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Sequence[str],
        dependencies: Sequence[Any],
        response_model: None,
        include_in_schema: bool,
    ) -> None:
        """Adds a route behind those that are there."""
        ...


def add_routes(server: Server, routes: Sequence[Route]) -> None:
    """Adds routes to the server of a page; none where there is no page (`--nowebui`)."""
    checks = [route.endpoint for route in server.routes if getattr(route, "path", None) == LOGIN_CHECK]
    if not checks:
        return
    for route in routes:
        server.add_api_route(
            route.path,
            _reader(route.answer) if route.method == "GET" else _writer(route.answer),
            methods=[route.method],
            dependencies=[Depends(checks[0])],
            response_model=None,
            include_in_schema=False,
        )


def _reader(answer: Answer) -> Callable[..., Response]:
    def read(request: Request) -> Response:
        return _respond(answer, Ask(_given(request)))

    return read


def _writer(answer: Answer) -> Callable[..., Response]:
    def write(request: Request, body: dict[str, Any]) -> Response:
        if not is_from_here(request.headers):
            return _json(403, {"detail": "This request comes from another site."})
        return _respond(answer, Ask(_given(request), body))

    return write


def is_from_here(headers: Mapping[str, str]) -> bool:
    """Whether a request comes from our page, from a site that `--cors-allow-origins` names, or from none.

    Args:
        headers: With names in small letters. Browsers tell the site of the page with every POST.
    """
    origin = headers.get("origin")
    if origin is None or _is_allowed(origin):
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    # without encryption browsers say no more than this; a proxy may have changed the host
    hosts = (headers.get("x-forwarded-host", ""), headers.get("host", ""))
    return urlsplit(origin).netloc.casefold() in {host.casefold() for host in hosts if host}


def _is_allowed(origin: str) -> bool:
    named = getattr(shared.cmd_opts, "cors_allow_origins", None) or ""
    pattern = getattr(shared.cmd_opts, "cors_allow_origins_regex", None)
    return origin in named.split(",") or bool(pattern and re.fullmatch(pattern, origin))


def _given(request: Request) -> dict[str, str]:
    return {**request.query_params, **request.path_params}


def _respond(answer: Answer, ask: Ask) -> Response:
    try:
        return _json(200, answer(ask))
    except NetworkNotFoundError as error:
        return _json(404, {"detail": one_line(error)})
    except LycoError as error:
        return _json(400, {"detail": one_line(error)})


def _json(status: int, content: Mapping[str, Any]) -> Response:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    data = text.encode("utf-8", "replace")
    return Response(data, status, {"Cache-Control": "no-store"}, "application/json")
