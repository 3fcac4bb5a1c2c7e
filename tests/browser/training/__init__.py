"""The training tab in a browser, on `lyco ui`."""
