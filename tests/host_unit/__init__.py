"""Parts of lib_lyco.host that need no host."""
