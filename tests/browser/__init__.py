"""The picker and the strip in a real browser: on a page of the WebUI's structure, and in the WebUI."""
