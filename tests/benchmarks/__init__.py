"""Speed benchmarks against peers, and simulations of what the product promises; run.py is the command."""
