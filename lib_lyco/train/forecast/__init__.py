"""What a run will be, told before it: plain data, computed without the base model's weights."""
