//! What goes back to Kafka, and where to.

/// An output topic, by what it carries; [`crate::topics::Topics`] gives its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Output {
    /// `features.<view>`, by the view's place in the views file.
    View(u16),
    /// `encodings.<name>`, by the room.
    Encoding(Room),
    /// `forecasts`.
    Forecasts,
    /// `scores`.
    Scores,
    /// `late`.
    Late,
    /// `dead-letters`.
    DeadLetter,
    /// `<app>.by-user`.
    ByUser,
    /// `<app>.models`.
    Models,
    /// `<app>.learners`.
    Learners,
    /// `<app>.samples.<model>`, by the room that learns from them.
    Samples(Room),
}

/// What has models of its own: a room, which is one of the published systems, or the items that all of them look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Room {
    /// SDIM: long-behavior interest by hash buckets.
    Sdim,
    /// MUSE: lifelong interest by search over content.
    Muse,
    /// PromptTPP: next-event forecasts by a temporal point process that learns continually.
    PromptTpp,
    /// Items: vectors of them, by version.
    Items,
}

impl Room {
    /// Its name, as in settings and topics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sdim => "sdim",
            Self::Muse => "muse",
            Self::PromptTpp => "prompt_tpp",
            Self::Items => "items",
        }
    }
}

/// One record to be sent, borrowed from whoever made it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The topic.
    pub output: Output,
    /// The partition of the topic.
    pub partition: i32,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, by name.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Takes the records that a stage makes, in order.
pub trait Emit {
    /// Keeps a copy of `record` for the task of by-user partition `task`.
    fn emit(&mut self, task: i32, record: Record<'_>);
}
