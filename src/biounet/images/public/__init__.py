"""The public data sets: where they lie, their checksums, fetching and unpacking."""
