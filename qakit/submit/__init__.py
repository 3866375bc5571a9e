"""Submissions to Kaggle: checked before they leave, sent once, written down in a ledger."""
