//! Each rule sees what it is for, and the tree of this checkout has none of it.
