"""The embedded small Stable Diffusion model and the sample run on it."""
