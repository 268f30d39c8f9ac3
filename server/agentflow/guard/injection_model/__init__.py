"""The always-on injection model: hashed n-grams, one table of weights a surface, pure Python."""
