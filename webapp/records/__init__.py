"""Records that people keep in lists: declared once as fields, from which everything else follows."""
