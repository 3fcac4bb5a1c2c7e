"""Images to train on, as the training tab shows and changes them: captions, doubles, masks, uploads."""
