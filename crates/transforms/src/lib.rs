//! transforms.
