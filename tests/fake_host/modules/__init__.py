"""The WebUI's `modules`, as far as an extension needs them: the same names, the same order of events."""
