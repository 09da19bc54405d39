"""The paper: its published results, and the reproduction of its tables and figures."""
