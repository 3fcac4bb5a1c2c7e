"""What is used of FastAPI's responses."""

from collections.abc import Iterator

from fastapi import Response

class StreamingResponse(Response):
    def __init__(self, content: Iterator[bytes], *, media_type: str) -> None: ...
