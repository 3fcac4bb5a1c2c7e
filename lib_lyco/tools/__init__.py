"""Files in, files out: inspect, merge, resize, convert."""
