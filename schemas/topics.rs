//! The names of all topics.

use crate::output::{Output, Room};

/// Names of the topics of one application.
#[derive(Clone, Debug)]
pub struct Topics {
    app: String,
    prefix: String,
    views: Vec<String>,
}

impl Topics {
    /// Topics of `app`; `prefix` stands before every input's and output's name; `views` in the order of the views file.
    pub fn new(app: &str, prefix: &str, views: Vec<String>) -> Self {
        Self { app: app.into(), prefix: prefix.into(), views }
    }

    /// An input topic (`events`, `items`, …) with its prefix.
    pub fn input(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The topic's name without the prefix, as file names and `late` records have it.
    pub fn short<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(self.prefix.as_str()).unwrap_or(name)
    }

    /// The internal topic in which every user has one order.
    pub fn by_user(&self) -> String {
        format!("{}.by-user", self.app)
    }

    /// The compacted topic of model versions.
    pub fn models(&self) -> String {
        format!("{}.models", self.app)
    }

    /// The compacted topic of what learners need to go on.
    pub fn learners(&self) -> String {
        format!("{}.learners", self.app)
    }

    /// The internal topic of what a room learns from.
    pub fn samples(&self, room: Room) -> String {
        format!("{}.samples.{}", self.app, room.name())
    }

    /// The name of an output topic.
    pub fn name(&self, output: Output) -> String {
        match output {
            Output::View(view) => format!("{}features.{}", self.prefix, self.views[usize::from(view)]),
            Output::Encoding(room) => format!("{}encodings.{}", self.prefix, room.name()),
            Output::Forecasts => format!("{}forecasts", self.prefix),
            Output::Scores => format!("{}scores", self.prefix),
            Output::Late => format!("{}late", self.prefix),
            Output::DeadLetter => format!("{}dead-letters", self.prefix),
            Output::ByUser => self.by_user(),
            Output::Models => self.models(),
            Output::Learners => self.learners(),
            Output::Samples(room) => self.samples(room),
        }
    }

    /// Every public output: all views, what rooms say, `late` and `dead-letters`.
    pub fn outputs(&self, of_rooms: &[Output]) -> Vec<Output> {
        let views = (0..self.views.len()).map(|view| Output::View(view as u16));
        views.chain(of_rooms.iter().copied()).chain([Output::Late, Output::DeadLetter]).collect()
    }
}
