"""Backbone -> adapter -> head."""
