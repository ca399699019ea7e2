"""The hook that takes several short steps in one call of the session."""

import time

from common.graph import loop
from common.training.hooks import CountSteps

import tensorflow.compat.v1 as tf

SHORT = 0.01  # seconds of a step, below which what Python does between two costs more than a few per cent
CALL = 0.1  # seconds of a call: a signal is seen only after it


class SeveralSteps(CountSteps):
    """Where steps are short, takes several before the one that the session is to take: a loop in the graph.

    Only such steps as no other hook has to do with; the others learn of them by after_loop(). To be called before other
    hooks.
    """

    def __init__(self, train_op, watched, others):
        """train_op: of one step. watched: {name: scalar tensor}, for after_loop(). others: the other hooks."""
        self._others = [hook for hook in others if isinstance(hook, CountSteps)]
        self._train_op, self._watched = train_op, watched
        self._seconds = SHORT  # of the last step

    def begin(self):
        # Steps with convolutions are not short, and the loop would take time to build.
        self._loop = None
        if all(op.type != "Conv2D" for op in tf.get_default_graph().get_operations()):
            self._loop = loop.repeated(self._train_op, self._watched)

    def before_run(self, run_context):
        if times := self._possible():
            placeholder, watched = self._loop
            watched = run_context.session.run(watched, {placeholder: times})
            for hook in (self, *self._others):
                hook.after_loop(watched)
        self._began = time.perf_counter()

    def _possible(self):
        """How many steps can be taken before the next at which there is something to do."""
        if not self._loop or self._seconds >= SHORT:
            return 0
        most = int(CALL / self._seconds)
        return next((i for i in range(most) if self._is_due(self.step + 1 + i)), most)

    def _is_due(self, step):
        return any(hook.is_due(step) for hook in self._others)

    def after_step(self, run_context, results):
        self._seconds = time.perf_counter() - self._began
