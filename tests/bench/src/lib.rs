//! What measures Millstream beside what people would use instead: input that a seed makes, programs that do the same
//! work, one run that measures all of them in turn and checks what each of them found.

pub mod chart;
pub mod compare;
pub mod digest;
pub mod expect;
pub mod figures;
pub mod generate;
pub mod limit;
pub mod measure;
pub mod moments;
pub mod programs;
pub mod workload;
