"""What real files look like: spellings of keys and lists of shapes, as data, without weights."""
