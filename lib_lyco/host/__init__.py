"""The extension inside the WebUI: the only importer of `modules.*`."""
