"""Many runs under one protocol: the plan, its runs, and their tables."""
