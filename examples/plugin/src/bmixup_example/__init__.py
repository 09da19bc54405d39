"""A method, a metric, a data source and a backbone for balanced-mixup, one small file each."""
