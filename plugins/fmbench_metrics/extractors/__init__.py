"""Small feature extractors for small pictures, with the script that trains them."""
