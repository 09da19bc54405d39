"""Many runs under one protocol: the plan, its runs, and their tables. `balanced_mixup.benchmark(plan, out)` executes a plan.

See `balanced_mixup.benchmark.engine.benchmark` for its arguments.
"""

from balanced_mixup.callable_package import make_callable

make_callable(__name__, "balanced_mixup.benchmark.engine:benchmark")
