"""The store: finished and half-finished cells on disk, by key. MLflow and reports are made from it."""
