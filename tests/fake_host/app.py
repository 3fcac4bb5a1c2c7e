"""As much of FastAPI as routes need."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.fake_host.web import Request

Endpoint = Callable[..., Any]
Guard = Callable[[str | None], bool]


@dataclass(frozen=True)
class Route:
    """One path and what answers it."""

    path: str
    endpoint: Endpoint
    methods: Sequence[str]
    dependencies: Sequence[Any]
    """Each, or its `dependency`, is asked whether the user, name:password, may come in."""

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The variable parts of a path, None where this is another route."""
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.path))
        found = re.fullmatch(pattern, path)
        return found.groupdict() if found and method in self.methods else None


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
        dependencies: Sequence[Any] = (),
        **_: Any,
    ) -> None:
        """A route behind those that are there: of two equal ones the first answers."""
        self.routes.append(Route(path, endpoint, methods, dependencies))

    def call(
        self,
        method: str,
        path: str,
        body: Any,
        query: dict[str, Any],
        user: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Status and answer."""
        for route in self.routes:
            parts = route.match(method, path)
            if parts is not None:
                break
        else:
            return 404, {"detail": "Not Found"}
        if not all(getattr(guard, "dependency", guard)(user) for guard in route.dependencies):
            return 401, {"detail": "Incorrect username or password"}
        names = list(inspect.signature(route.endpoint).parameters)
        if names[:1] == ["request"]:
            texts = {key: str(value) for key, value in query.items()}
            named = {key.lower(): value for key, value in (headers or {}).items()}
            request = Request(texts, parts, {"host": "here.example", **named})
            arguments = {"request": request, **({} if body is None else {"body": body})}
        else:
            arguments = query if body is None else {names[0]: body, **query}
        try:
            return _read(route.endpoint(**arguments))
        except Exception as e:  # noqa: BLE001  a server answers whatever happens
            traceback.print_exc()
            return 500, {"error": type(e).__name__, "errors": str(e)}


def _read(answer: Any) -> tuple[int, Any]:
    """Status and content of what an endpoint gave: a response of its own, or the content alone."""
    if not hasattr(answer, "status_code"):
        return 200, answer
    if not hasattr(answer, "body_iterator"):
        return answer.status_code, json.loads(answer.body)
    # in a thread of its own: where a browser has been tested, this one has a loop that goes on
    with ThreadPoolExecutor(1) as thread:
        body = thread.submit(asyncio.run, _whole(answer)).result()
    return answer.status_code, json.loads(body)


async def _whole(answer: Any) -> bytes:
    """All that a streaming response sends."""
    return b"".join([piece async for piece in answer.body_iterator])
