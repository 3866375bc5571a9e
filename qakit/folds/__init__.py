"""Cross-validation: the folder of the folds, out-of-fold predictions, and one score with its spread."""
