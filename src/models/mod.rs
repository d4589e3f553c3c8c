//! The language models that agents may ask.
