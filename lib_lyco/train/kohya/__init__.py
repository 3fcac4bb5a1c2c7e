"""Speaking kohya: what was written for sd-scripts and kohya_ss becomes a config."""
