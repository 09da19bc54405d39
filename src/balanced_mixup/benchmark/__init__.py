"""Many runs by one protocol: the plan, the runs, their tables, and the paper's published figures beside them."""
