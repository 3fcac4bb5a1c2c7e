data_path: str
"""Where the user's files are: `--data-dir`."""
models_path: str
