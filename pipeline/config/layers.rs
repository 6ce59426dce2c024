//! The three places settings come from, each flattened to `key = value` with its origin.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::settings::{self, Kind, Setting};

/// What stands before a setting's name in the environment.
pub const PREFIX: &str = "WELLSPRING_";
/// Variables with the prefix that are no settings: the build's and the tests' own.
const NOT_SETTINGS: [&str; 3] = ["CACHE", "DATA", "TEST_"];
/// What Kubernetes puts in the environment beside a service called `wellspring`.
const NOT_SETTINGS_KUBERNETES: [&str; 2] = ["SERVICE_", "PORT"];

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the settings file.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// An argument of `--set`.
    Set(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "line {line} of {}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Set(argument) => write!(f, "--set {argument}"),
        }
    }
}

/// One value: the setting, the name below it where the setting is a table, the value, and where it was set.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The setting.
    pub setting: &'static Setting,
    /// The column's or property's name; empty where the setting is no table.
    pub name: String,
    /// The value, checked against the setting's kind.
    pub value: Value,
    /// Where it was set.
    pub origin: Origin,
}

/// The settings of a TOML text; `path` names it in errors.
///
/// # Errors
/// Where it is not TOML, or a setting is unknown or has a wrong value.
pub fn file(path: &Path, text: &str) -> Result<Vec<Leaf>, ConfigError> {
    let origin = |at: usize| Origin::File(path.into(), 1 + text[..at].matches('\n').count());
    let table = DeTable::parse(text).map_err(|error| not_toml(&error, &origin))?;
    let mut leaves = Vec::new();
    flatten(table.get_ref(), "", &origin, &mut leaves)?;
    Ok(leaves)
}

/// The settings among `variables` (name, value) of the environment.
///
/// # Errors
/// Where a setting is unknown or has a wrong value.
pub fn environment(variables: impl Iterator<Item = (String, String)>) -> Result<Vec<Leaf>, ConfigError> {
    let mut leaves = Vec::new();
    for (variable, text) in variables {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        if NOT_SETTINGS.iter().chain(&NOT_SETTINGS_KUBERNETES).any(|other| name.starts_with(other)) {
            continue;
        }
        let key = name.to_ascii_lowercase().replace("__", ".");
        assign(&key, &text, Origin::Environment(variable.clone()), &mut leaves)?;
    }
    Ok(leaves)
}

/// The settings of the arguments of `--set`, in order.
///
/// # Errors
/// Where an argument is not `KEY=VALUE`, or a setting is unknown or has a wrong value.
pub fn sets(arguments: &[String]) -> Result<Vec<Leaf>, ConfigError> {
    let mut leaves = Vec::new();
    for argument in arguments {
        let (key, text) = argument.split_once('=').ok_or_else(|| ConfigError::NotAssignment(argument.clone()))?;
        assign(key.trim(), text.trim(), Origin::Set(argument.clone()), &mut leaves)?;
    }
    Ok(leaves)
}

/// A value given as text; a table is given as inline TOML.
fn assign(key: &str, text: &str, origin: Origin, leaves: &mut Vec<Leaf>) -> Result<(), ConfigError> {
    let Some((setting, name)) = settings::find(key) else {
        return Err(ConfigError::Unknown { key: key.into(), origin });
    };
    if setting.is_table() && name.is_empty() {
        let at = |_: usize| origin.clone();
        let value = DeValue::parse(text).map_err(|error| not_toml(&error, &at))?;
        return leaf(value.get_ref(), key, &origin, &at, leaves);
    }
    let value = setting.parse(text).map_err(|allowed| ConfigError::Value {
        key: key.into(),
        value: text.into(),
        origin: origin.clone(),
        allowed,
    })?;
    leaves.push(Leaf { setting, name: name.into(), value, origin });
    Ok(())
}

fn flatten(
    table: &DeTable<'_>,
    above: &str,
    origin: &dyn Fn(usize) -> Origin,
    leaves: &mut Vec<Leaf>,
) -> Result<(), ConfigError> {
    let mut entries: Vec<_> = table.iter().collect();
    // As written: declared columns have an order.
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let (at, key) = (key.span().start, key.get_ref());
        let key = if above.is_empty() { key.to_string() } else { format!("{above}.{key}") };
        leaf(value.get_ref(), &key, &origin(at), origin, leaves)?;
    }
    Ok(())
}

/// A value of TOML: a table is walked, all else is the value of a setting.
fn leaf(
    value: &DeValue<'_>,
    key: &str,
    here: &Origin,
    origin: &dyn Fn(usize) -> Origin,
    leaves: &mut Vec<Leaf>,
) -> Result<(), ConfigError> {
    let found = settings::find(key);
    let above = |setting: &Setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    let walked = found.is_none_or(|(setting, _)| setting.is_table());
    if let (DeValue::Table(table), true) = (value, walked) {
        if found.is_none() && !settings::SETTINGS.iter().any(above) {
            return Err(ConfigError::Unknown { key: key.into(), origin: here.clone() });
        }
        return flatten(table, key, origin, leaves);
    }
    let Some((setting, name)) = found else {
        return Err(ConfigError::Unknown { key: key.into(), origin: here.clone() });
    };
    let wrong =
        |allowed| ConfigError::Value { key: key.into(), value: written(&plain(value)), origin: here.clone(), allowed };
    if setting.is_table() && name.is_empty() {
        return Err(wrong(format!("a table of {}s", setting.allowed().trim_start_matches("a "))));
    }
    // Properties are text to librdkafka, however they are written in TOML.
    let json = match (setting.kind, plain(value)) {
        (Kind::Properties, Value::Number(number)) => json!(number.to_string()),
        (Kind::Properties, Value::Bool(flag)) => json!(flag.to_string()),
        (_, json) => json,
    };
    let value = setting.check(json).map_err(wrong)?;
    leaves.push(Leaf { setting, name: name.into(), value, origin: here.clone() });
    Ok(())
}

/// A value of TOML as JSON; what no setting can be becomes null.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(digits) => {
            i64::from_str_radix(digits.as_str(), digits.radix()).map_or(json!(digits.as_str()), |number| json!(number))
        }
        DeValue::Float(digits) => digits.as_str().parse::<f64>().map_or(Value::Null, |number| json!(number)),
        DeValue::Boolean(flag) => json!(flag),
        DeValue::Array(list) => list.iter().map(|one| plain(one.get_ref())).collect(),
        DeValue::Datetime(time) => json!(time.to_string()),
        DeValue::Table(_) => json!("a table"),
    }
}

/// A value as its author sees it: text without quotes.
fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

fn not_toml(error: &toml::de::Error, origin: &dyn Fn(usize) -> Origin) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start);
    ConfigError::Toml { message: error.message().into(), origin: origin(at) }
}
