"""Networks on disk: which file a name means."""
