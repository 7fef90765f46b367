//! Runs hand-made plans on a manual clock.
