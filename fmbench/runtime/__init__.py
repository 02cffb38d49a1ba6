"""What computes: device, precision, memory, threads, and what was measured of them."""
