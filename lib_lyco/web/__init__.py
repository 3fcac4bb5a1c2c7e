"""Pages' requests and their answers, on any server."""
