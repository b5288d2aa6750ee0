"""Python's garbage collector, in processes whose pauses a shopper would notice."""

import gc

_NEW, _YOUNG, _OLD = 10_000, 5, 2


def freeze_loaded_objects() -> None:
    """Exclude the objects loaded so far from collection, and collect the others less often.

    A collection over all of Django takes 50 ms, during which every request waits.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW, _YOUNG, _OLD)
    # The next full collection waits for growth by a quarter of what this one finds. Without this one that
    # would be a quarter of all of Django.
    gc.collect()
