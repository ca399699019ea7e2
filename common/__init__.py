"""What the tasks share, in storeys. A module imports from its own storey and from those below it, never from above.

    app/              what a user sees of a trained network: answers, their pictures, the page; exports
    training/         a run and its traces: recipe, run.json, checkpoints, hooks, evaluation, testing
    data/   graph/    where images come from; what a graph is made of. They know nothing of each other
    command_line, errors, graph_mode

Importing graph/ or training/ imports TensorFlow, in graph mode. Other modules do so only where they need it: to ask an
exported network takes none.
"""

import importlib.util
import sys


def _quiet_interrupt(kind, error, traceback):
    """Ctrl-C during the imports shows no traceback; later command_line.run() sees it."""
    if kind is not KeyboardInterrupt:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _quiet_interrupt

for module in "numpy", "tensorflow":
    if not importlib.util.find_spec(module):  # which looks for it, and does not import it
        sys.exit(
            f"error: {sys.executable} has no module {module!r}. Run ./run.sh setup and use .venv/bin/python, "
            "or: pip install -r requirements.txt"
        )
