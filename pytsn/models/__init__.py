"""Networks, and the prototxts written from the same tables. ``BNInception`` loads on first use, for it needs torch."""


def __getattr__(name: str):
    if name == "BNInception":
        from pytsn.models.bn_inception import BNInception

        return BNInception
    raise AttributeError(f"module 'pytsn.models' has no attribute '{name}'")
