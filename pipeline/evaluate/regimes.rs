//! A process of known truth whose regime changes.
