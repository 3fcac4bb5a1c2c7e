"""What is seen: the only importer of gradio."""
