//! The RTMP listener in the process.
