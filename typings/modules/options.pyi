from collections.abc import Callable
from typing import Any

class OptionInfo:
    category_id: str | None
    """The heading above the page, in the list of pages."""
    restrict_api: bool
    """Whether the API may not set it."""
    def __init__(
        self,
        default: Any = None,
        label: str = "",
        component: Any = None,
        component_args: Any = None,
        onchange: Callable[[], None] | None = None,
        section: tuple[str, str] | None = None,
        refresh: Callable[[], None] | None = None,
        comment_before: str = "",
        comment_after: str = "",
        infotext: str | None = None,
    ) -> None: ...
    def info(self, info: str) -> OptionInfo: ...

class Options:
    data: dict[str, Any]
    data_labels: dict[str, OptionInfo]
    def __getattr__(self, item: str) -> Any:
        """The value of an option. Raises AttributeError for one that nobody registered."""
    def set(self, key: str, value: Any, is_api: bool = False, run_callbacks: bool = True) -> bool: ...
    def add_option(self, key: str, info: OptionInfo) -> None: ...
    def onchange(self, key: str, func: Callable[[], None], call: bool = True) -> None:
        """Calls the function whenever the option is set; once now, too, with `call`."""
    def save(self, filename: str) -> None: ...
