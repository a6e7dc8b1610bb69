"""Whether a record, or a table made from records, can be believed."""
