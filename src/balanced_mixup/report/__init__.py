"""Reports and figures. `balanced_mixup.report(path)` writes the report of a run, an evaluation or a benchmark.

See `balanced_mixup.report.write.write_report` for its arguments.
"""

from balanced_mixup.callable_package import make_callable

make_callable(__name__, "balanced_mixup.report.write:report")
