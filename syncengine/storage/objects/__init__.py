"""Object stores: one interface of literal, conditional calls (``service.py``) and who speaks it.

``s3.py``, ``gcs.py`` and ``azure.py`` call the service through the user's own fsspec filesystem; ``fast.py`` lets
obstore list, look, read and write, and leaves to those what obstore cannot do. ``../object_store.py`` is the storage
client above all of them.
"""
