"""The options of a training run by group; `TrainConfig` is all of them."""
