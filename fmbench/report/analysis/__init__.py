"""What the records say: rankings, effects, fronts, decompositions. Data in, data out."""
