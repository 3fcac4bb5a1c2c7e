"""What is used of FastAPI 0.94."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

class _Address:
    host: str
    port: int

class Request:
    client: _Address | None
    headers: Mapping[str, str]
    query_params: Mapping[str, str]
    path_params: dict[str, Any]
    def stream(self) -> AsyncIterator[bytes]: ...

class Response:
    status_code: int
    body: bytes
    def __init__(
        self,
        content: bytes | None = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None: ...

def Depends(dependency: Callable[..., Any]) -> Any: ...
