"""A layer that is called again and again is traced once; its nodes are written again for the rest.

``calls`` decides, ``arguments`` compares two calls, ``conditions`` what the trace relied on,
``nodes`` writes.
"""

from explorer.torch_private.repeats.calls import RepeatCounts, repeats_written

__all__ = ["RepeatCounts", "repeats_written"]
