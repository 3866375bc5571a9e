"""YAML recipes: model, load, issues, schema."""
