"""Continuing a backbone's pretraining on texts of one's own, before it is fine-tuned."""
