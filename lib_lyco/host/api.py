"""HTTP: the builtin's list of networks as it was, and what is applied.

`/sdapi/v1/loras` and `/sdapi/v1/refresh-loras` have the builtin's fields and are open to everybody as
they are there, since programs rely on both; a new file is in the list at once. metadata.ini has us
loaded before the builtin, and of two routes with one path the first answers. `/lyco/v1/applied` is ours:
there only where the host has its own API, and behind the very guard that this has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from fastapi.responses import StreamingResponse
from modules import script_callbacks

from lib_lyco.catalog.entry import CatalogEntry
from lib_lyco.host.app import HostApp
from lib_lyco.host.takeover import find_builtin

NEEDS = (("modules.script_callbacks", "on_app_started"),)

LIST = "/sdapi/v1/loras"
REFRESH = "/sdapi/v1/refresh-loras"
APPLIED = "/lyco/v1/applied"
GUARDED_LIKE = "/sdapi/v1/options"
"""A route of the host's own API: whoever may read its options may read what is applied."""
_NUM_AT_ONCE = 32
"""Networks between two of the list's pieces."""


class Server(Protocol):
    """What is used of FastAPI."""

    @property
    def routes(self) -> Iterable[Any]:
        """All routes, each with its path; the host's own with what guards them."""
        ...

    def add_api_route(
        self,
        path: str,
        endpoint: Callable[[], Any],
        *,
        methods: Sequence[str],
        dependencies: Sequence[Any] = ...,
        response_model: None,
    ) -> None:
        """Adds a route behind those that are there."""
        ...


def register(app: HostApp) -> None:
    """Adds the routes whenever the server has started."""
    script_callbacks.on_app_started(lambda demo, server: add_routes(app, server))


def add_routes(app: HostApp, server: Server) -> None:
    """Adds our routes to a server that has the host's."""

    def get_loras() -> StreamingResponse:
        app.catalog.refresh()
        return StreamingResponse(list_json(app, app.catalog.list()), media_type="application/json")

    def refresh_loras() -> None:
        app.catalog.refresh()
        builtin: Any = find_builtin()
        if builtin is not None:
            builtin.list_available_networks()

    def get_applied() -> dict[str, Any]:
        return _applied(app)

    server.add_api_route(LIST, get_loras, methods=["GET"], response_model=None)
    server.add_api_route(REFRESH, refresh_loras, methods=["POST"], response_model=None)
    for route in server.routes:
        if getattr(route, "path", None) == GUARDED_LIKE:
            guards = list(route.dependencies)
            server.add_api_route(
                APPLIED, get_applied, methods=["GET"], dependencies=guards, response_model=None
            )
            break


def list_json(app: HostApp, entries: Sequence[CatalogEntry]) -> Iterator[bytes]:
    """The networks as a JSON list, some at a time: all metadata together may be larger than the memory."""
    yield b"["
    for start in range(0, len(entries), _NUM_AT_ONCE):
        texts = (_describe(app, entry) for entry in entries[start : start + _NUM_AT_ONCE])
        # UTF-8 cannot hold a byte of a file's name that is no text
        yield ("," * bool(start) + ",".join(texts)).encode("utf-8", "replace")
    yield b"]"


def _describe(app: HostApp, entry: CatalogEntry) -> str:
    """A network in the builtin's fields; `name` is what a tag may say."""
    metadata = entry.metadata
    fields = {
        "name": app.catalog.short_name(entry),
        "alias": entry.alias,
        "path": str(entry.path),
        "metadata": {key: read_object(text) for key, text in metadata.items()},
    }
    try:
        return _json_text(fields)
    except ValueError:
        # a number that JSON has no word for (NaN), of which the builtin's whole list dies
        return _json_text({**fields, "metadata": metadata})


def _json_text(value: object) -> str:
    """As FastAPI writes it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def read_object(text: str) -> Any:
    """A metadata value as the host reads it: JSON objects as objects, everything else as text."""
    if text.startswith("{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _applied(app: HostApp) -> dict[str, Any]:
    state = app.applied
    return {
        "model": state.model,
        "hires": state.hires,
        "networks": [
            {"name": request.name, "tag": request.tag, "content_id": network.content_id}
            for request, network in state.requested
        ],
        "lines": state.lines,
        "problems": state.problems,
        "backup_bytes": state.backup_bytes,
        "parked_bytes": state.parked_bytes,
        "cache_bytes": app.cache.num_bytes,
    }
