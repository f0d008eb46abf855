//! The rules, one by one, and the table of cases. The numbers are those of `docs/queue.md`.

mod cases;
mod holding;
mod orders;
mod presence;
mod restart;
mod stage;
mod turns;
mod unfit;
