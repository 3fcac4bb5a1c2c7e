"""What the WebUI runs before it loads the extension: install.py and preload.py."""
