r"""Learning a model and its q by stochastic gradient ascent on a bound (chapters 9 and 10).

Read in this order: ``loop`` has ``fit``, which checks what it is given and starts a ``run``, whose steps climb;
``batches`` hands it the data, ``checkpoints`` keeps its state in a file, ``recipes`` builds a model from such a file,
and ``diagnosis`` says what went well or wrong.
"""

from lvmlib.training.diagnosis import History, NonFiniteLossError
from lvmlib.training.loop import fit
from lvmlib.training.recipes import load

__all__ = ["History", "NonFiniteLossError", "fit", "load"]
