//! Steps `fold` as it is written.
