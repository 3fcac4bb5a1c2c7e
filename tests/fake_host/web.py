"""As much of FastAPI's names as routes need, for where it is not installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Client:
    """Who asks: this machine."""

    host: str = "127.0.0.1"


@dataclass(frozen=True)
class Request:
    """What came in."""

    query_params: Mapping[str, str]
    path_params: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    client: Client = Client()


@dataclass(frozen=True)
class Response:
    """What goes out."""

    body: bytes = b""
    status_code: int = 200
    headers: Mapping[str, str] | None = None
    media_type: str | None = None


def stream(content: Iterable[bytes], media_type: str) -> Response:
    """Stands for `StreamingResponse`."""
    return Response(b"".join(content), 200, {}, media_type)


@dataclass(frozen=True)
class Dependency:
    """What has to agree before a route answers."""

    dependency: Callable[..., Any]


def module() -> ModuleType:
    """Stands for `fastapi`."""
    made = ModuleType("fastapi")
    vars(made).update(Request=Request, Response=Response, Depends=Dependency)
    return made


def responses() -> ModuleType:
    """Stands for `fastapi.responses`."""
    made = ModuleType("fastapi.responses")
    vars(made).update(StreamingResponse=stream)
    return made
