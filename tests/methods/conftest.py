"""Methods of several stages for the tests of methods."""

from staged_fixture import staged as staged
