//! The one integration binary: the real program, the documents, and what holds for the whole repository.
//! `BLESS=1 cargo test --test it` writes expected texts anew; a blessed change is reviewed like code.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod architecture;
mod cases;
mod check;
mod checkpoint;
mod codes;
mod cold;
mod documents;
mod endurance;
mod entries;
mod examples;
mod faults;
mod files;
mod forms;
mod hostile;
mod infer;
mod ingest;
mod inputs;
mod laws;
mod library;
mod messages;
mod network;
mod oracle;
mod own_operator;
mod plans;
mod program;
mod reload;
mod run;
mod services;
mod stages;
mod trials;
mod verbs;
