"""A store by URL: objects of any fsspec file system, behind a folder on this disk that is laid out as every store.

`Objects` speaks with the file system, `Mirror` keeps the folder and the objects alike, cell by cell.
"""
