"""Small feature extractors for FID and KID on small pictures, with the script that trains them."""
