"""The parts of the data doctor: what can be found out about examples without training anything."""
