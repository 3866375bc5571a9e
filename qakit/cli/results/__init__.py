"""Figures of trainings, pipelines and evaluations as tables."""
