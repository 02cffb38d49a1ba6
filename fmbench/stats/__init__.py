"""Statistics: numbers in, numbers out. Imports nothing of fmbench but its errors."""
