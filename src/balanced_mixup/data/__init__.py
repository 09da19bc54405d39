"""Data: from a table, folders or an npz to a manifest that is checked, split and decoded."""
