"""`python -m lib_lyco` is `lyco`."""

from lib_lyco.entry.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
