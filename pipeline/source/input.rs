//! `TOPIC=SOURCE` as the command line has it.

use std::path::PathBuf;

use super::SourceError;
use super::open::{FORMATS, FileKind};

/// An input topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InputTopic {
    /// What users did.
    Events,
    /// The table of items.
    Items,
    /// Requests: items to be scored.
    Candidates,
    /// What became of what was shown.
    Feedback,
    /// Users who are to be forgotten.
    Forget,
}

impl InputTopic {
    /// The topic's name, without its prefix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Items => "items",
            Self::Candidates => "candidates",
            Self::Feedback => "feedback",
            Self::Forget => "forget",
        }
    }

    /// The field that becomes the record's key.
    pub fn key_field(self) -> &'static str {
        match self {
            Self::Events | Self::Candidates | Self::Feedback | Self::Forget => "user_id",
            Self::Items => "item_id",
        }
    }
}

/// Where the records of one source partition come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf, FileKind),
    /// A SQL query over files.
    Query(String),
}

/// One source partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The topic.
    pub topic: InputTopic,
    /// The partition: the input's place among those of its topic.
    pub partition: i32,
    /// Where its records come from.
    pub source: Source,
}

impl Input {
    /// The inputs of the arguments of `--input`, in order.
    ///
    /// # Errors
    /// Where one is not `TOPIC=SOURCE`, its topic is not read, or the source's kind is unknown.
    pub fn parse_all(arguments: &[String]) -> Result<Vec<Self>, SourceError> {
        let mut inputs: Vec<Self> = Vec::new();
        for argument in arguments {
            let place = || format!("--input {argument}");
            let Some((topic, source)) = argument.split_once('=') else {
                let remedy = "write --input TOPIC=SOURCE, like --input events=events.jsonl";
                return Err(SourceError::usage("the input names no topic", place(), remedy));
            };
            let topic = topic_of(topic.trim()).map_err(|(what, remedy)| SourceError::usage(what, place(), remedy))?;
            let source = source_of(source.trim()).map_err(|what| {
                let remedy = format!("name a file ending in {FORMATS}, or write a SELECT over such files");
                SourceError::usage(what, place(), remedy)
            })?;
            let partition = inputs.iter().filter(|input| input.topic == topic).count() as i32;
            inputs.push(Self { topic, partition, source });
        }
        Ok(inputs)
    }

    /// The input as its author wrote it.
    pub fn place(&self) -> String {
        match &self.source {
            Source::File(path, _) => format!("--input {}={}", self.topic.name(), path.display()),
            Source::Query(sql) => format!("--input \"{}={sql}\"", self.topic.name()),
        }
    }
}

fn topic_of(name: &str) -> Result<InputTopic, (String, String)> {
    match name {
        "events" => Ok(InputTopic::Events),
        "items" => Ok(InputTopic::Items),
        "forget" => Ok(InputTopic::Forget),
        "candidates" => Ok(InputTopic::Candidates),
        "feedback" => Ok(InputTopic::Feedback),
        _ => Err((
            format!("unknown topic `{name}`"),
            "the topics that are read are events, items, candidates, feedback and forget".into(),
        )),
    }
}

fn source_of(text: &str) -> Result<Source, String> {
    let word = text.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    let sql = word.len() < text.len() && (word.eq_ignore_ascii_case("select") || word.eq_ignore_ascii_case("with"));
    if sql {
        return Ok(Source::Query(text.into()));
    }
    let kind = FileKind::of(text).ok_or_else(|| format!("`{text}` is no kind of source"))?;
    Ok(Source::File(text.into(), kind))
}
