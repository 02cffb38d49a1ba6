"""What is known of every cell: records, their collection from the store, cell states and the time to go."""
