"""One training step of the same network in each framework: step functions for benchmarks/speed/peers.py.

Each module has prepare(mode, problem, threads), which gives a function of a number of steps: it takes these steps, from
where the last call stopped, and returns the loss of each before its update. The optimiser is momentum 0.9 without L2,
the loss the mean cross-entropy; nothing is augmented.
"""
