"""What is shown: the paper's figures, made from plain data."""
