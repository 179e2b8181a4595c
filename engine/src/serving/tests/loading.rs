//! Models from files: the same numbers whatever the container, and clear refusals.
