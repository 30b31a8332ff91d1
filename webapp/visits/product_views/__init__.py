"""How often products were viewed: by SKU, site and day, and in the last thirty days."""
