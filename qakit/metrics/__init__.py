"""Metrics as plain functions, equal to the official scripts."""
