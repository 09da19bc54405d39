"""The published data sets by name: what each of them is, and how its raw files become a folder that can be trained on."""
