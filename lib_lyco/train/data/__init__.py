"""Folders of images become batches."""
