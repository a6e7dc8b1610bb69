"""How the ranks of positives are found fast: products in blocks, each swept once."""
