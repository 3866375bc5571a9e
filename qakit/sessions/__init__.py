"""Trainings in Kaggle's notebooks: packed, pushed, followed there and fetched back; the ledger of their sessions."""
