"""Routes and the server that carries them."""
