"""As much of FastAPI as routes need."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Sequence
from typing import Any

Endpoint = Callable[..., Any]


class App:
    """Keeps routes and calls them."""

    def __init__(self, credentials: str | None) -> None:
        self.credentials = credentials
        self.routes: dict[tuple[str, str], tuple[Endpoint, bool]] = {}

    def add_api_route(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        methods: Sequence[str] = ("GET",),
        guarded: bool = False,
        **_: Any,
    ) -> None:
        """A route; of two equal ones the first stays, as there."""
        for method in methods:
            self.routes.setdefault((method, path), (endpoint, guarded))

    def call(
        self, method: str, path: str, body: Any, query: dict[str, Any], user: str | None
    ) -> tuple[int, Any]:
        """Status and answer."""
        if (method, path) not in self.routes:
            return 404, {"detail": "Not Found"}
        endpoint, guarded = self.routes[method, path]
        if guarded and user != self.credentials:
            return 401, {"detail": "Incorrect username or password"}
        names = list(inspect.signature(endpoint).parameters)
        arguments = query if body is None else {names[0]: body, **query}
        try:
            return 200, endpoint(**arguments)
        except Exception as e:  # noqa: BLE001  a server answers whatever happens
            traceback.print_exc()
            return 500, {"error": type(e).__name__, "errors": str(e)}
