"""A stand-in for the WebUI: what an extension may expect of it, small enough to read, in one process."""
