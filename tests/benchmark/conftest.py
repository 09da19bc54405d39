"""Methods of several stages for the tests of benchmarks."""

from staged_fixture import staged as staged
