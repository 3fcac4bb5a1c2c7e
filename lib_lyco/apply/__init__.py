"""Networks onto the layers of any module, and exactly off again."""
