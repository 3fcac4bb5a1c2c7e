def report(message: str, *, exc_info: bool = False) -> None:
    """Prints a message on the console, with the traceback of the exception at hand if wanted."""
