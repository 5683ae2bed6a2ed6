"""Models to compile, one a file, each with one sentence in ``shows`` that a test asserts.

What belongs here: a module with a ``sample(**options)`` that returns a :data:`SampleModel`:
weights from a fixed seed, inputs of any size, the ops to cut at, and the sizes that the model
accepts when it is run as it is. What does not: anything that a compiled model needs in order to
run. A sample imports its own dependencies when it is made, so importing this package needs torch
only.
"""

from explorer import CompileTarget

SampleModel = CompileTarget
"""What ``sample()`` returns: a model with all that is needed to compile and to exercise it."""

__all__ = ["SampleModel"]
