"""What the commands share: the console, tables, progress, signals, options that several of them have."""
