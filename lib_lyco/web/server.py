"""Our routes on a server of FastAPI's: for whoever may see the page, and for nobody else.

The WebUI's own routes for pages ask nobody who they are. Ours do, where a login is asked for: with
gradio's own check of it. What changes something is a POST, and is refused when another site's page sends
it; a browser says which page that is.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from lib_lyco.errors import LycoError, NetworkNotFoundError, one_line
from lib_lyco.web.route import Answer, Ask, Content, Route

LOGIN_CHECKS = ("/login_check", "/gradio_api/login_check")
"""gradio's own route, before its version 5 and since: refuses whoever is not logged in, where a login is
asked for."""
MAX_UPLOAD = 4 << 30
"""Bytes: more pictures than anyone trains on are refused before they fill the disk."""
_THIS_MACHINE = ("127.0.0.1", "::1", "::ffff:127.0.0.1")

Allows = Callable[[str], bool]
"""Whether a site, as `https://its.name`, may send what changes something."""


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


def has_page(server: Server) -> bool:
    """Whether gradio serves a page there (not with `--nowebui`)."""
    return bool(_login_checks(server))


def add_routes(server: Server, routes: Sequence[Route], allows: Allows = lambda origin: False) -> None:
    """Adds routes to the server of a page; none where there is no page.

    Args:
        server: The page's.
        routes: Of two that fit an address the first answers.
        allows: Which other sites may send what changes something.
    """
    checks = _login_checks(server)
    for route in routes if checks else ():
        server.add_api_route(
            route.path,
            _endpoint(route, allows),
            methods=[route.method],
            dependencies=[Depends(checks[0])],
            response_model=None,
            include_in_schema=False,
        )


def _login_checks(server: Server) -> list[Any]:
    routes = list(server.routes)
    # the newest FastAPI keeps the routes of a router together
    routers = [getattr(route, "original_router", None) for route in routes]
    routes += [route for router in routers for route in getattr(router, "routes", ())]
    return [route.endpoint for route in routes if getattr(route, "path", None) in LOGIN_CHECKS]


def _endpoint(route: Route, allows: Allows) -> Callable[..., Any]:
    if route.method == "GET":
        return _reader(route.answer)
    return _receiver(route.answer, allows) if route.upload else _writer(route.answer, allows)


def _reader(answer: Answer) -> Callable[..., Response]:
    def read(request: Request) -> Response:
        return _respond(answer, _ask(request))

    return read


def _writer(answer: Answer, allows: Allows) -> Callable[..., Response]:
    def write(request: Request, body: dict[str, Any]) -> Response:
        if not is_from_here(request.headers, allows):
            return _refused()
        return _respond(answer, replace(_ask(request), body=body))

    return write


def _receiver(answer: Answer, allows: Allows) -> Callable[..., Awaitable[Response]]:
    async def receive(request: Request) -> Response:
        if not is_from_here(request.headers, allows):
            return _refused()
        with tempfile.TemporaryDirectory(prefix="lyco-upload-") as folder:
            path, size = Path(folder) / "upload", 0
            with path.open("wb") as file:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > MAX_UPLOAD:
                        return _json(413, {"detail": f"The file is larger than {MAX_UPLOAD >> 30} GB."})
                    file.write(chunk)
            return await run_in_threadpool(_respond, answer, replace(_ask(request), upload=path))

    return receive


def is_from_here(headers: Mapping[str, str], allows: Allows = lambda origin: False) -> bool:
    """Whether a request comes from our page, from a site that is allowed, or from none.

    Args:
        headers: With names in small letters. Browsers tell the site of the page with every POST.
        allows: Which other sites may.
    """
    origin = headers.get("origin")
    if origin is None or allows(origin):
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    # without encryption browsers say no more than this; a proxy may have changed the host
    hosts = (headers.get("x-forwarded-host", ""), headers.get("host", ""))
    return urlsplit(origin).netloc.casefold() in {host.casefold() for host in hosts if host}


def _ask(request: Request) -> Ask:
    return Ask({**request.query_params, **request.path_params}, is_local=_is_local(request))


def _is_local(request: Request) -> bool:
    """Whether the other end is on this machine, and passes on nothing for somebody else."""
    passed_on = any(name in request.headers for name in ("x-forwarded-for", "forwarded", "x-real-ip"))
    return request.client is not None and request.client.host in _THIS_MACHINE and not passed_on


def _respond(answer: Answer, ask: Ask) -> Response:
    try:
        made = answer(ask)
    except NetworkNotFoundError as error:
        return _json(404, {"detail": one_line(error)})
    except LycoError as error:
        return _json(400, {"detail": one_line(error), "field": error.where})
    if isinstance(made, Content):
        kept = "private, max-age=31536000, immutable" if made.keep else "no-store"
        return Response(made.data, 200, {"Cache-Control": kept}, made.media_type)
    return _json(200, made)


def _refused() -> Response:
    return _json(403, {"detail": "This request comes from another site."})


def _json(status: int, content: Mapping[str, Any]) -> Response:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    data = text.encode("utf-8", "replace")
    return Response(data, status, {"Cache-Control": "no-store"}, "application/json")
