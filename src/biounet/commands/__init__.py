"""The commands, one file each: they parse nothing, call what lies below, and print."""
