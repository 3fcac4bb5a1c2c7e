"""As much of FastAPI as routes need."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Endpoint = Callable[..., Any]
Guard = Callable[[str | None], bool]


@dataclass(frozen=True)
class Route:
    """One path and what answers it."""

    path: str
    endpoint: Endpoint
    methods: Sequence[str]
    dependencies: Sequence[Guard]
    """Each is asked whether the user, name:password, may come in."""


class App:
    """Keeps routes and calls them."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def add_api_route(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        methods: Sequence[str] = ("GET",),
        dependencies: Sequence[Guard] = (),
        **_: Any,
    ) -> None:
        """A route behind those that are there: of two equal ones the first answers."""
        self.routes.append(Route(path, endpoint, methods, dependencies))

    def call(
        self, method: str, path: str, body: Any, query: dict[str, Any], user: str | None
    ) -> tuple[int, Any]:
        """Status and answer."""
        for route in self.routes:
            if route.path == path and method in route.methods:
                break
        else:
            return 404, {"detail": "Not Found"}
        if not all(guard(user) for guard in route.dependencies):
            return 401, {"detail": "Incorrect username or password"}
        names = list(inspect.signature(route.endpoint).parameters)
        arguments = query if body is None else {names[0]: body, **query}
        try:
            return 200, route.endpoint(**arguments)
        except Exception as e:  # noqa: BLE001  a server answers whatever happens
            traceback.print_exc()
            return 500, {"error": type(e).__name__, "errors": str(e)}
