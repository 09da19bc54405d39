"""From whatever a user has (a table, folders, an npz) to one manifest that is checked, split and ready to be stored."""
