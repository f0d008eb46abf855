//! Players of `/program.flv`.
