"""Python's garbage collector, in processes that somebody waits for."""

import gc

_NEW, _YOUNG, _OLD = 10_000, 5, 2


def keep_for_good() -> None:
    """Has the collector leave alone what was loaded so far, and look less often at the rest: a look
    through all of Django takes 50 ms, in which a crowd waits."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW, _YOUNG, _OLD)
    gc.collect()  # it waits until a quarter has come to what it saw last time: to all of Django, else
