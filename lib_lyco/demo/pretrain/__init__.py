"""Training the embedded model from nothing: pictures, VAE, denoiser with text encoder, export."""
