"""From a file of texts to batches of tensors: problems, store, encode, windows, collate, check."""
