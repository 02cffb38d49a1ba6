"""Reading and locking files that others may have written, JSON of a known form, and text that is safe to print."""
