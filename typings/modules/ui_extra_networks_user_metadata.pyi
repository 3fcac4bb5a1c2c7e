from typing import Any

class UserMetadataEditor:
    """One tab's editor; the components are gradio's."""

    ui: Any
    tabname: str
    page: Any
    box: Any
    edit_name_input: Any
    button_edit: Any
    edit_name: Any
    edit_description: Any
    html_filedata: Any
    html_preview: Any
    html_status: Any
    button_replace_preview: Any
    button_save: Any
    def __init__(self, ui: Any, tabname: str, page: Any) -> None: ...
    def create_default_editor_elems(self) -> None: ...
    def create_extra_default_items_in_left_column(self) -> None: ...
    def create_default_buttons(self) -> None: ...
    def create_editor(self) -> None: ...
    def setup_ui(self, gallery: Any) -> None: ...
