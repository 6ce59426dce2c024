//! stub
#[derive(Clone)] pub struct Metrics; impl Metrics { pub fn stage(&self, _: &str) -> Stage { Stage } pub fn set_ready(&self, _: bool) {} }
#[derive(Clone)] pub struct Stage;
impl Stage { pub fn undeclared(&self, _: u64) {} pub fn dead_letter(&self) {} pub fn polled(&self, _: u64) {} pub fn rows(&self, _: usize) {} pub fn folded(&self, _: &operators::Counters) {} pub fn committed(&self, _: u64, _: &crate::log::staged::Staged, _: std::time::Duration) {} }
