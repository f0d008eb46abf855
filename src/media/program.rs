//! The pacing thread: inputs, switcher, house stage, fan-out.
