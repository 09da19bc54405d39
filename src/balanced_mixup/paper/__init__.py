"""What the paper published, and its tables and figures made again."""
