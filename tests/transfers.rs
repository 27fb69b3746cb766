//! Whole transfers between real processes: what goes in comes out, in every shape and at every pace.
//!
//! By default a sample; `VIAMILLIPEDE_FULL=1` runs the full battery, which takes minutes and wants the
//! release profile.

mod beside;
mod detail;
mod dialling;
mod first;
mod growing;
mod limited;
mod looping;
mod matrix;
mod narrow;
mod recorded;
mod said;
#[cfg(target_os = "linux")]
mod standstill;
pub mod stream;
mod trickle;
