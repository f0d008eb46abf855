//! Properties that hold after every sequence of events.
