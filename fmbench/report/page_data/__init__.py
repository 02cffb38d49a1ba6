"""The data of the report page: what its scripts draw, as plain JSON values."""
