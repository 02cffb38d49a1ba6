"""How much of what the machine can do does a fleet's training step reach?

The limits are measured in the same run: the matrix product of two 2048 x 2048 matrices (one thread and all), and the
bandwidth of a triad a = b + s c over arrays that no cache holds. The fleet is fmbench's own training of 32 MLPs
2-128-128-128-2 at batch 256, from cells to weights in a store, with everything that a step does: draws, loss,
backward, optimiser, moving average. What counts are its matrix products alone, 3 times those of the forward pass (one
forward, one for the weights' gradients, one for the inputs'; the first layer's inputs need none, which is taken off).
The rest of the step is thereby what is lost. Product and step alternate, with the same threads.
"""
