"""A model as a service: questions of many callers answered together (``batching``), over HTTP (``app``)."""
