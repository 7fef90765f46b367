//! Layouts that must not change, and laws of cells.
