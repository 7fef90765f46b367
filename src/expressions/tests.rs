//! What expressions give for rows, and which rows fail.

mod build;
mod kernels;
mod semantics;
