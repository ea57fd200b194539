"""Networks, and the prototxts written from the same tables. Classes load on first use because they need torch."""

import importlib

_CLASSES = {"BNInception": "bn_inception", "TSN": "tsn"}


def __getattr__(name: str):
    if name in _CLASSES:
        return getattr(importlib.import_module(f"pytsn.models.{_CLASSES[name]}"), name)
    raise AttributeError(f"module 'pytsn.models' has no attribute '{name}'")
