//! What the chooser does, step by step.
