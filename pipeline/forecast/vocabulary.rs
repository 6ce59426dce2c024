//! Names of types as the places that a model knows them by.

use std::collections::HashMap;

/// Types by place. Place 0 is every type that has none of its own; others are taken in the order in which a learner meets
/// them, and stay.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    names: Vec<String>,
    places: HashMap<String, u32>,
}

/// The place of types without one.
pub const OTHER: u32 = 0;

impl Default for Vocabulary {
    fn default() -> Self {
        Self { names: vec![String::new()], places: HashMap::new() }
    }
}

impl Vocabulary {
    /// Types that have places from 1 on.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let mut vocabulary = Self::default();
        for name in names {
            vocabulary.add(&name, usize::MAX);
        }
        vocabulary
    }

    /// How many places there are, that of all others included.
    pub fn places(&self) -> usize {
        self.names.len()
    }

    /// The names that have places, in their order.
    pub fn names(&self) -> &[String] {
        &self.names[1..]
    }

    /// The place of a type.
    pub fn place(&self, name: &str) -> u32 {
        self.places.get(name).copied().unwrap_or(OTHER)
    }

    /// The type of a place; none where it is that of all others.
    pub fn name(&self, place: u32) -> Option<&str> {
        (place != OTHER).then(|| self.names.get(place as usize).map(String::as_str)).flatten()
    }

    /// The place of a type, a new one where it has none and there are fewer than `places_max`.
    pub fn add(&mut self, name: &str, places_max: usize) -> u32 {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        if self.names.len() >= places_max {
            return OTHER;
        }
        let place = self.names.len() as u32;
        self.names.push(name.into());
        self.places.insert(name.into(), place);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_and_what_has_none_is_other() {
        let mut vocabulary = Vocabulary::new(["view".to_string(), "buy".into()]);
        assert_eq!((vocabulary.place("buy"), vocabulary.place("new"), vocabulary.places()), (2, OTHER, 3));
        assert_eq!((vocabulary.add("new", 4), vocabulary.add("newer", 4), vocabulary.add("view", 4)), (3, OTHER, 1));
        assert_eq!((vocabulary.name(3), vocabulary.name(OTHER), vocabulary.name(9)), (Some("new"), None, None));
        assert_eq!(Vocabulary::new(vocabulary.names().to_vec()).names(), vocabulary.names());
    }
}
